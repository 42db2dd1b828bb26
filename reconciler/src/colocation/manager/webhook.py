"""HTTPS for the API server's admission reviews. Every replica serves, whoever leads."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from colocation.admission import Settings, answer
from colocation.admission.review import default_of

log = logging.getLogger(__name__)
IDLE_SECONDS: Final = 120
"""Longer than the API server keeps a connection that it does not use (90 s): it is the one to close."""
HANDSHAKE_SECONDS: Final = 5
MOST_CONNECTIONS: Final = 128
MOST_BYTES: Final = 8 * 2**20
"""A review holds the pod; etcd takes no object above 1.5 MiB."""


class Webhook:
    """Serves on a thread; each connection on one of its own. Answers nobody until it has a certificate."""

    def __init__(self, host: str, port: int, settings: Settings, observe: Callable[[str], None] | None = None) -> None:
        """``observe`` is told of each review how it ended. Raises OSError if the address is taken."""
        slots = threading.BoundedSemaphore(MOST_CONNECTIONS)

        class Handler(_Handler):
            pass

        Handler.settings, Handler.observe = settings, staticmethod(observe or (lambda _: None))

        class Listener(_Listener):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        self._https = Listener((host, port), Handler)
        self._https.slots = slots
        self._thread = threading.Thread(target=self._https.serve_forever, name="webhook", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._https.server_address[1])

    @property
    def ready(self) -> bool:
        """Has a certificate."""
        return self._https.context is not None

    def use(self, certificate: bytes, key: bytes) -> None:
        """Show this certificate to whoever connects from now on. Raises ssl.SSLError if it and the key do not fit."""
        self._https.context = server_context(certificate, key)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        self._https.shutdown()
        self._https.server_close()


def server_context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    """A server's TLS context of PEM texts. OpenSSL reads files only, so they are one in memory, never on a disk."""
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


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    context: ssl.SSLContext | None = None
    slots: threading.BoundedSemaphore

    def process_request(self, request: Any, client_address: Any) -> None:
        # Nobody waits in silence: the API server goes to another replica, or by the failurePolicy.
        if self.context is None or not self.slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.slots.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """On the connection's own thread, so that a slow handshake holds up nobody else."""
        if self.context is None:
            raise ConnectionError("no certificate yet")
        request.settimeout(HANDSHAKE_SECONDS)
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.context.wrap_socket(request, server_side=True) as secure:
            secure.settimeout(IDLE_SECONDS)
            super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 (socketserver's)
        log.debug("connection ended", extra={"client": str(client_address), "error": repr(sys.exception())})


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "colocation", ""
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one packet
    settings: Settings
    observe: Callable[[str], None]

    def do_POST(self) -> None:
        default = default_of(self.path.partition("?")[0])
        length = self.headers.get("Content-Length", "")
        if default is None:
            self._refuse(404, "try /mutate, or /mutate/be")
        elif not length.isdigit() or int(length) > MOST_BYTES:
            self.close_connection = True  # what follows is not read
            self._refuse(413, f"give Content-Length, at most {MOST_BYTES}")
        else:
            body = self.rfile.read(int(length))
            try:
                said = answer(body, self.settings, default)
            except ValueError as error:
                self._refuse(400, str(error))
            else:
                type(self).observe("ok")
                self._send(200, said, "application/json")

    def _refuse(self, code: int, why: str) -> None:
        type(self).observe(str(code))
        self._send(code, why.encode() + b"\n", "text/plain")

    def _send(self, code: int, body: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name that http.server uses)
        """Say nothing: metrics count."""
