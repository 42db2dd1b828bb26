"""A server's side of TLS."""

from __future__ import annotations

import os
import ssl


def server_context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    """A TLS context of PEM texts. Raises ssl.SSLError if they do not fit.

    OpenSSL reads files only, so they are one in memory, never on a disk.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    file = os.memfd_create("certificate")
    try:
        os.write(file, key.rstrip(b"\n") + b"\n" + certificate)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
    return context
