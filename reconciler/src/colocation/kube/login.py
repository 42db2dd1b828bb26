"""Where the API server is and who we are: in a pod by its ServiceAccount, elsewhere by kubeconfig."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies

from msgspec import Struct

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_SECONDS: Final = 60.0
"""A projected token is replaced on disk long before it expires; reading it once a minute is enough."""


class LoginError(Exception):
    """No way in; the message says what to do."""


class Login(Struct):
    """A way into one API server."""

    url: str
    headers: Callable[[], Mapping[str, str]]
    """What to send with every request; cheap, may be called from any thread."""
    refresh: Callable[[], None] | None
    """Called after a 401: whatever ``headers`` has cached is no longer good. None: it stays as it is."""
    context: ssl.SSLContext | None = None
    server_name: str | None = None
    """Name to expect in the certificate, where it is not the one in the URL."""
    namespace: str | None = None
    proxy: str | None = None
    """URL of an HTTP proxy to go through."""


class TokenFile:
    """A token from a file that is replaced under us, as a header."""

    def __init__(self, path: Path, clock: Callable[[], float], header: str, scheme: str) -> None:
        self._path, self._clock, self._header, self._scheme = path, clock, header, scheme
        self._read_at = float("-inf")
        self._headers: dict[str, str] = {}

    def headers(self) -> Mapping[str, str]:
        """See Login."""
        now = self._clock()
        if now - self._read_at >= TOKEN_SECONDS:
            token = self._path.read_text().strip()
            self._headers, self._read_at = {self._header: self._scheme + token}, now
        return self._headers

    def refresh(self) -> None:
        """See Login."""
        self._read_at = float("-inf")


def token_file(
    path: Path,
    header: str = "Authorization",
    scheme: str = "Bearer ",
    clock: Callable[[], float] = time.monotonic,
) -> TokenFile:
    """What `Login` needs of a token that kubelet renews on disk."""
    return TokenFile(path, clock, header, scheme)


def in_cluster(
    environ: Mapping[str, str] = os.environ,
    folder: Path = SERVICE_ACCOUNT,
    clock: Callable[[], float] = time.monotonic,
) -> Login:
    """Log in as the pod's ServiceAccount. Raises LoginError outside a pod."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (folder / "token").is_file():
        raise LoginError(
            "not in a pod (no KUBERNETES_SERVICE_HOST or no ServiceAccount token): "
            "give --kubeconfig FILE or set KUBECONFIG"
        )
    token = token_file(folder / "token", clock=clock)
    namespace = folder / "namespace"
    return Login(
        url=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        headers=token.headers,
        refresh=token.refresh,
        context=trust(str(folder / "ca.crt")),
        namespace=namespace.read_text().strip() if namespace.is_file() else None,
    )


def kubeconfig(path: str | None = None, context: str | None = None) -> Login:
    """Log in as kubectl would (certificates, tokens, exec plugins, OIDC). Raises LoginError with the remedy."""
    try:
        # Here and only here: 47 MB resident, wanted on workstations, not in pods.
        from kubernetes import client, config  # noqa: PLC0415
        from requests.utils import should_bypass_proxies  # noqa: PLC0415 (kubernetes depends on it)
    except ImportError as error:
        raise LoginError(
            "reading a kubeconfig needs the Kubernetes client: pip install 'colocation[kubeconfig]'"
        ) from error
    settings: Any = client.Configuration()
    settings.proxy = None  # so that a proxy found afterwards is the kubeconfig's own
    loader: Any = config

    def load() -> None:
        try:
            loader.load_kube_config(config_file=path, context=context, client_configuration=settings)
        except (config.ConfigException, OSError) as error:
            raise LoginError(f"kubeconfig {path or '(default)'}: {error}") from error

    def headers() -> Mapping[str, str]:
        # Reading the settings runs the client's refresh hook, which renews exec and OIDC tokens that ran out.
        return {s["key"]: s["value"] for s in settings.auth_settings().values() if s["in"] == "header" and s["value"]}

    def proxy() -> str | None:
        """As kubectl does: NO_PROXY limits the environment's proxy, never the kubeconfig's `proxy-url`."""
        url = settings.host
        proxy_url = settings.proxy or getproxies().get(urlsplit(url).scheme)
        if not proxy_url or (not settings.proxy and should_bypass_proxies(url, None)):
            return None
        if urlsplit(proxy_url).scheme not in ("http", "https"):
            raise LoginError(f"proxy {proxy_url}: only http and https proxies are supported")
        return str(proxy_url)

    load()
    return Login(
        url=settings.host.rstrip("/"),
        proxy=proxy(),
        headers=headers,
        refresh=load,
        context=_context(settings) if settings.host.startswith("https") else None,
        server_name=getattr(settings, "tls_server_name", None),
    )


def find(path: str | None = None, context: str | None = None) -> Login:
    """Log in by what was asked for, else as a pod, else by kubectl's default kubeconfig."""
    if path is None and context is None and "KUBECONFIG" not in os.environ:
        try:
            return in_cluster()
        except LoginError as error:
            if not Path("~/.kube/config").expanduser().is_file():
                raise LoginError(str(error)) from None
    return kubeconfig(path, context)


def anonymous(url: str, ca: str | None) -> Login:
    """A way there with no credential of our own: each request brings that of the person who asks."""
    context = trust(ca) if url.startswith("https") else None
    return Login(url=url.rstrip("/"), headers=dict, refresh=None, context=context)


def trust(ca: str | None) -> ssl.SSLContext:
    """Certificates signed by the authorities of this file; None: by those that the system knows."""
    context = ssl.create_default_context(cafile=ca)
    # Python 3.13 turned this on; cluster CAs made by older tools lack the key identifiers it insists on.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _context(settings: Any) -> ssl.SSLContext:
    context = trust(settings.ssl_ca_cert)
    if not settings.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context
