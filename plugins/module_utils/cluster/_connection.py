# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Which cluster is meant, and how to log in: resolved once, for modules, helm and the inventory plugin. Without I/O.

The options are those of kubernetes.core. Each has a variable (C(VARIABLES)) and the environment variables that
kubernetes.core reads too (C(environment())). Variables and environment are not mixed: options of one cluster,
completed by options of another, lead to a third one.
"""

from __future__ import annotations

import os
import typing as t
from urllib.parse import quote, urlsplit

from ansible.module_utils.parsing.convert_bool import boolean

VARIABLES = {
    "kubeconfig": "colocation_kubeconfig",
    "context": "colocation_context",
    "host": "colocation_api_host",
    "api_key": "colocation_api_key",
    "username": "colocation_api_username",
    "password": "colocation_api_password",
    "client_cert": "colocation_api_client_cert",
    "client_key": "colocation_api_client_key",
    "ca_cert": "colocation_api_ca_cert",
    "validate_certs": "colocation_api_validate_certs",
    "proxy": "colocation_api_proxy",
    "no_proxy": "colocation_api_no_proxy",
    "proxy_headers": "colocation_api_proxy_headers",
    "persist_config": "colocation_api_persist_config",
    "impersonate_user": "colocation_api_impersonate_user",
    "impersonate_groups": "colocation_api_impersonate_groups",
}
"""Option of kubernetes.core to variable of this collection."""
ALIASES = {"validate_certs": "verify_ssl", "ca_cert": "ssl_ca_cert", "client_cert": "cert_file", "client_key": "key_file"}
NAME_THE_CLUSTER = ("kubeconfig", "context", "host")
SECRETS = ("api_key", "password", "proxy_headers")
PROXY_HEADERS = ("proxy_basic_auth", "basic_auth", "user_agent")
IN_KUBECONFIG_ONLY = ("username", "password", "client_cert", "client_key")
"""Options that helm has no flag for: it finds them in a kubeconfig."""
Options = t.Dict[str, t.Any]


class BadConnection(ValueError):
    """The options do not say which cluster is meant, or some program cannot take them; the message says what to do."""


def environment(environ: t.Mapping[str, str]) -> Options:
    """Options given as K8S_AUTH_*, under both names that kubernetes.core knows."""
    options: Options = {}
    for option in VARIABLES:
        if option == "proxy_headers":
            headers = {key: environ.get(f"K8S_AUTH_PROXY_HEADERS_{key.upper()}") for key in PROXY_HEADERS}
            options[option] = {key: value for key, value in headers.items() if value}
            continue
        names = [option, ALIASES[option]] if option in ALIASES else [option]
        options[option] = next((v for v in (environ.get(f"K8S_AUTH_{n.upper()}") for n in names) if v), None)
    return typed(options)


def typed(given: t.Mapping[str, t.Any]) -> Options:
    """Without what is empty; what came as text (by -e, or by the environment) as what it stands for."""
    options = {name: value for name, value in given.items() if value not in (None, "", [], {})}
    for name in ("validate_certs", "persist_config"):
        if name in options:
            options[name] = boolean(options[name])
    groups = options.get("impersonate_groups")
    if isinstance(groups, str):
        options["impersonate_groups"] = [group.strip() for group in groups.split(",") if group.strip()]
    if "host" in options:
        options["host"] = str(options["host"]).rstrip("/")
    return options


def resolve(
    given: t.Mapping[str, t.Any], environ: t.Mapping[str, str], names: t.Mapping[str, str] | None = None
) -> Options:
    """The options of the connection, from what variables (or an inventory file) and the environment say.

    C(names) is what messages call an option; by default its variable.
    """
    called = names or VARIABLES
    answer, around = typed(given), environment(environ)
    named = [name for name in NAME_THE_CLUSTER if name in answer]
    foreign = [name for name in around if name not in answer]
    if named and foreign and cluster(answer) != cluster(around):
        raise BadConnection(
            f"The cluster is named by {' and '.join(called[n] for n in named)}, and the environment adds "
            f"{', '.join(f'K8S_AUTH_{n.upper()}' for n in foreign)}. Take the connection from one of the two: unset the "
            f"environment, or set {', '.join(called[n] for n in foreign)} too."
        )
    options = {**around, **answer}
    in_kubeconfig = [name for name in IN_KUBECONFIG_ONLY if name in options]
    if in_kubeconfig and not is_inline(options):
        raise BadConnection(
            f"{', '.join(called[n] for n in in_kubeconfig)} can be given with {called['host']} and without a kubeconfig "
            "only: helm takes them from a kubeconfig. Put them into the kubeconfig."
        )
    if "context" in around and ("ca_cert" in around or "validate_certs" in around):
        raise BadConnection(
            "kubernetes.core's modules for helm refuse K8S_AUTH_CONTEXT together with K8S_AUTH_SSL_CA_CERT or K8S_AUTH_VERIFY_SSL. "
            f"Unset the environment, and set {called['context']} and {called['ca_cert']} or {called['validate_certs']}."
        )
    if (options.get("proxy_headers") or {}).get("basic_auth"):
        raise BadConnection(
            f"{called['proxy_headers']}: helm cannot send basic_auth to a proxy. Use proxy_basic_auth, or put user and "
            f"password into {called['proxy']}."
        )
    return options


def cluster(options: Options) -> list[str]:
    """What the options say of which cluster is meant, to be compared."""
    kubeconfig_at = str(options.get("kubeconfig", ""))
    at = os.path.abspath(os.path.expanduser(kubeconfig_at)) if kubeconfig_at else ""
    return [at, *(str(options.get(name, "")) for name in NAME_THE_CLUSTER[1:])]


def is_inline(options: Options) -> bool:
    """The options are all there is: no kubeconfig is read."""
    return "host" in options and "kubeconfig" not in options and "context" not in options


def proxy_url(options: Options) -> str:
    """The proxy with the user and password that kubernetes.core sends in a header."""
    url, login = str(options.get("proxy") or ""), (options.get("proxy_headers") or {}).get("proxy_basic_auth")
    if not url or not login:
        return url
    user, found, password = str(login).partition(":")
    parts = urlsplit(url)
    secret = f":{quote(password, safe='')}" if found else ""
    return parts._replace(netloc=f"{quote(user, safe='')}{secret}@{parts.netloc.rpartition('@')[2]}").geturl()


def kubeconfig(options: Options) -> Options:
    """All of an inline connection as a kubeconfig."""
    cluster: Options = {"server": options["host"]}
    if "ca_cert" in options:
        cluster["certificate-authority"] = os.path.expanduser(str(options["ca_cert"]))
    if options.get("validate_certs") is False:
        cluster["insecure-skip-tls-verify"] = True
        cluster.pop("certificate-authority", None)  # clients refuse both
    if proxy_url(options):
        cluster["proxy-url"] = proxy_url(options)
    names = {"token": "api_key", "username": "username", "password": "password", "as": "impersonate_user"}
    user: Options = {key: str(options[name]) for key, name in names.items() if name in options}
    for key, name in (("client-certificate", "client_cert"), ("client-key", "client_key")):
        if name in options:
            user[key] = os.path.expanduser(str(options[name]))
    if "impersonate_groups" in options:
        user["as-groups"] = list(options["impersonate_groups"])
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "colocation", "cluster": cluster}],
        "users": [{"name": "colocation", "user": user}],
        "contexts": [{"name": "colocation", "context": {"cluster": "colocation", "user": "colocation"}}],
        "current-context": "colocation",
    }


def helm(options: Options) -> Options:
    """The options that modules for helm take. Everything else is in C(helm_environment())."""
    if is_inline(options):
        return {"kubeconfig": kubeconfig(options)}
    return {name: options[name] for name in ("kubeconfig", "host", "api_key") if name in options}


def helm_environment(options: Options) -> dict[str, str]:
    """helm's own variables, each of them set, so that none of the operator's shell has an effect."""
    names = ("CONTEXT", "CAFILE", "APISERVER", "TOKEN", "ASUSER", "ASGROUPS", "TLS_SERVER_NAME")
    answer = {f"HELM_KUBE{name}": "" for name in names}
    answer["HELM_KUBEINSECURE_SKIP_TLS_VERIFY"] = "false"
    if is_inline(options):
        return answer
    answer["HELM_KUBECONTEXT"] = str(options.get("context", ""))
    answer["HELM_KUBECAFILE"] = os.path.expanduser(str(options.get("ca_cert", "")))
    answer["HELM_KUBEASUSER"] = str(options.get("impersonate_user", ""))
    answer["HELM_KUBEASGROUPS"] = ",".join(options.get("impersonate_groups", []))
    if options.get("validate_certs") is False:
        answer["HELM_KUBEINSECURE_SKIP_TLS_VERIFY"] = "true"
    if "proxy" in options:
        answer.update(HTTPS_PROXY=proxy_url(options), NO_PROXY=str(options.get("no_proxy", "")))
    return answer
