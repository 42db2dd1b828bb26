"""Listening sockets for IPv4 and IPv6, and the addresses that clients come from."""

from __future__ import annotations

import errno
import socket
from typing import Final

ANY: Final = ("", "::")
"""Hosts that mean every address of this machine, of both families."""
BACKLOG: Final = 128
_MAPPED: Final = "::ffff:"
_NO_IPV6: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


def address(text: str) -> tuple[str, int]:
    """Split "HOST:PORT", "[IPV6]:PORT" or ":PORT". Raises ValueError with a sentence."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535 or (":" in host and not bracketed):
        raise ValueError(f"{text!r} is not HOST:PORT; write an IPv6 host in brackets: [::]:8080")
    return host.strip("[]"), int(port)


def listener(host: str, port: int) -> socket.socket:
    """Listen there; on `ANY` for IPv6 and IPv4, or for IPv4 alone where the kernel has no IPv6. Raises OSError."""
    if host not in ANY:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    try:
        return socket.create_server(("::", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise
    return socket.create_server(("0.0.0.0", port), backlog=BACKLOG)  # noqa: S104 (what "::" means without IPv6)


def plain(host: str) -> str:
    """A client's address, spelled the same whether it came in by IPv4 or as IPv4 mapped into IPv6."""
    return host.removeprefix(_MAPPED) if host.startswith(_MAPPED) and "." in host else host
