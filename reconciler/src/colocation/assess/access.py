"""The way to a Prometheus that is given by URL: our credentials there, and the certificates to trust."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from msgspec import Struct

from colocation.kube.login import Login


class AccessError(Exception):
    """An option that cannot be used, and why."""


class Access(Struct, kw_only=True):
    """What the options say. Secrets come from files: a command line can be read by others."""

    url: str
    token_file: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    insecure: bool = False
    headers: tuple[str, ...] = ()
    """Each "NAME: VALUE", such as a tenant's X-Scope-OrgID."""


def login(access: Access) -> Login:
    """Where to connect to, without a path. Raises AccessError."""
    parts = urlsplit(access.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AccessError(f"--prometheus {access.url}: not a URL; try --prometheus http://127.0.0.1:9090")
    if parts.username or parts.password:
        raise AccessError("--prometheus: no user and password in the URL; use --prometheus-user and -password-file")
    headers = _headers(access)

    def current() -> dict[str, str]:
        if access.token_file is not None:
            headers["Authorization"] = f"Bearer {_secret(access.token_file, '--prometheus-token-file')}"
        return headers

    current()
    proxy = getproxies().get(parts.scheme)
    return Login(
        url=f"{parts.scheme}://{parts.netloc}",
        headers=current,
        refresh=lambda: None,
        context=_context(access) if parts.scheme == "https" else None,
        proxy=None if not proxy or proxy_bypass(parts.hostname) else proxy,
    )


def prefix(url: str) -> str:
    """The path under which the API is."""
    return urlsplit(url).path.rstrip("/").removesuffix("/api/v1")


def _headers(access: Access) -> dict[str, str]:
    headers: dict[str, str] = {"Accept-Encoding": "gzip"}
    for given in access.headers:
        name, colon, value = given.partition(":")
        if not colon or not name.strip() or not given.isprintable():
            raise AccessError(f"--prometheus-header {given!r}: write it as 'NAME: VALUE'")
        headers[name.strip()] = value.strip()
    if (access.user is None) != (access.password_file is None):
        raise AccessError("--prometheus-user and --prometheus-password-file go together")
    if access.user is not None and access.password_file is not None:
        if access.token_file is not None:
            raise AccessError("give a token or a user, not both")
        password = _secret(access.password_file, "--prometheus-password-file")
        headers["Authorization"] = "Basic " + base64.b64encode(f"{access.user}:{password}".encode()).decode()
    return headers


def _secret(path: Path, option: str) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AccessError(f"{option}: {error}") from error


def _context(access: Access) -> ssl.SSLContext:
    if (access.key is not None) and access.cert is None:
        raise AccessError("--prometheus-key needs --prometheus-cert")
    try:
        context = ssl.create_default_context(cafile=None if access.ca is None else str(access.ca))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as kube.login: older CAs lack key identifiers
        if access.cert is not None:
            context.load_cert_chain(access.cert, access.key)
    except (OSError, ssl.SSLError) as error:
        raise AccessError(f"certificates for --prometheus: {error}") from error
    if access.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
