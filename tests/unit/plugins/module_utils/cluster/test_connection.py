from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _connection
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._connection import BadConnection

INLINE = {"host": "https://a:6443", "api_key": "t0ken"}


@pytest.mark.parametrize(
    ("given", "environ", "options"),
    [
        ({}, {}, {}),
        ({"kubeconfig": "a"}, {}, {"kubeconfig": "a"}),
        ({"kubeconfig": "", "context": None}, {"K8S_AUTH_KUBECONFIG": "b"}, {"kubeconfig": "b"}),
        ({"kubeconfig": "a"}, {"K8S_AUTH_KUBECONFIG": "b"}, {"kubeconfig": "a"}),
        ({"kubeconfig": "a"}, {"K8S_AUTH_KUBECONFIG": "a", "K8S_AUTH_PROXY": "p"}, {"kubeconfig": "a", "proxy": "p"}),
        ({}, {"K8S_AUTH_VERIFY_SSL": "no", "K8S_AUTH_HOST": "https://a/"}, {"validate_certs": False, "host": "https://a"}),
        ({}, {"K8S_AUTH_CERT_FILE": "c", "K8S_AUTH_HOST": "h"}, {"client_cert": "c", "host": "h"}),
        ({"validate_certs": "false"}, {}, {"validate_certs": False}),
        ({"impersonate_groups": "a, b"}, {}, {"impersonate_groups": ["a", "b"]}),
        ({}, {"K8S_AUTH_IMPERSONATE_GROUPS": "a,b"}, {"impersonate_groups": ["a", "b"]}),
        ({"proxy": "p"}, {"K8S_AUTH_KUBECONFIG": "b"}, {"kubeconfig": "b", "proxy": "p"}),
        ({}, {"K8S_AUTH_PROXY_HEADERS_USER_AGENT": "x"}, {"proxy_headers": {"user_agent": "x"}}),
    ],
)
def test_options_come_from_the_variables_or_from_the_environment(given, environ, options):
    assert _connection.resolve(given, environ) == options


@pytest.mark.parametrize(
    ("given", "environ", "named"),
    [
        ({"kubeconfig": "a"}, {"K8S_AUTH_CONTEXT": "c"}, "K8S_AUTH_CONTEXT"),
        ({"kubeconfig": "a"}, {"K8S_AUTH_HOST": "h"}, "K8S_AUTH_HOST"),
        ({"host": "a"}, {"K8S_AUTH_HOST": "b", "K8S_AUTH_API_KEY": "k"}, "K8S_AUTH_API_KEY"),
        ({"context": "a"}, {"K8S_AUTH_KUBECONFIG": "b"}, "K8S_AUTH_KUBECONFIG"),
        ({"kubeconfig": "a", "client_cert": "c"}, {}, "colocation_api_client_cert"),
        ({"username": "u", "password": "p"}, {}, "colocation_api_username"),
        ({**INLINE, "proxy_headers": {"basic_auth": "u:p"}}, {}, "colocation_api_proxy_headers"),
        ({}, {"K8S_AUTH_CONTEXT": "c", "K8S_AUTH_SSL_CA_CERT": "f"}, "K8S_AUTH_CONTEXT"),
    ],
)
def test_what_leads_to_no_one_cluster_is_refused_and_named(given, environ, named):
    with pytest.raises(BadConnection, match=named):
        _connection.resolve(given, environ)


def test_a_token_of_the_environment_completes_the_host_that_the_environment_names():
    """The inventory plugin hands on the host, and leaves the token where it is."""
    environ = {"K8S_AUTH_HOST": "https://a:6443/", "K8S_AUTH_API_KEY": "t0ken"}
    assert _connection.resolve({"host": "https://a:6443"}, environ) == INLINE


def test_every_option_of_kubernetes_core_has_a_variable():
    common = pytest.importorskip("ansible_collections.kubernetes.core.plugins.module_utils.args_common")
    assert set(_connection.VARIABLES) == set(common.AUTH_ARG_SPEC)
    assert {o["aliases"][0]: name for name, o in common.AUTH_ARG_SPEC.items() if "aliases" in o} == {
        alias: name for name, alias in _connection.ALIASES.items()
    }
    assert set(_connection.PROXY_HEADERS) == set(common.AUTH_PROXY_HEADERS_SPEC)


def test_helm_gets_an_inline_connection_as_one_kubeconfig():
    options = {
        **INLINE,
        "ca_cert": "/ca",
        "client_cert": "/c",
        "client_key": "/k",
        "proxy": "http://proxy:3128",
        "proxy_headers": {"proxy_basic_auth": "me:p@ss"},
        "impersonate_user": "eve",
        "impersonate_groups": ["g"],
    }
    content = _connection.helm(options)["kubeconfig"]
    assert content["clusters"][0]["cluster"] == {
        "server": "https://a:6443",
        "certificate-authority": "/ca",
        "proxy-url": "http://me:p%40ss@proxy:3128",
    }
    assert content["users"][0]["user"] == {
        "token": "t0ken",
        "client-certificate": "/c",
        "client-key": "/k",
        "as": "eve",
        "as-groups": ["g"],
    }
    assert content["current-context"] == content["contexts"][0]["name"]


def test_what_helms_modules_have_no_option_for_is_in_helms_environment():
    options = {"kubeconfig": "a", "context": "c", "impersonate_user": "eve", "validate_certs": False, "proxy": "http://p"}
    assert _connection.helm(options) == {"kubeconfig": "a"}
    answer = _connection.helm_environment(options)
    assert (answer["HELM_KUBECONTEXT"], answer["HELM_KUBEASUSER"], answer["HTTPS_PROXY"]) == ("c", "eve", "http://p")
    assert answer["HELM_KUBEINSECURE_SKIP_TLS_VERIFY"] == "true"


@pytest.mark.parametrize("options", [{}, INLINE, {"kubeconfig": "a"}])
def test_no_variable_of_the_operators_shell_leads_helm_elsewhere(options):
    answer = _connection.helm_environment(options)
    assert {"HELM_KUBECONTEXT", "HELM_KUBEAPISERVER", "HELM_KUBETOKEN", "HELM_KUBECAFILE"} <= set(answer)
    assert not [name for name, value in answer.items() if value not in ("", "false")]


def test_every_variable_of_the_connection_is_documented():
    specs = Path(__file__).resolve().parents[5] / "roles/colocation_preflight/meta/argument_specs.yml"
    assert set(_connection.VARIABLES.values()) <= set(yaml.safe_load(specs.read_text())["argument_specs"]["main"]["options"])
