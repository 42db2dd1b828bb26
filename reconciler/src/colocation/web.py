"""An HTTP server that one client cannot fill: so many connections in all, and so many of one address."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

MOST: Final = 256
MOST_OF_ONE: Final = 16
"""Connections of one address: kubelet's probes, Prometheus and the API server come from others than a tenant's pod."""


class BoundedServer(ThreadingHTTPServer):
    """Each connection has a thread; one too many is closed without a word, at once."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        """Raises OSError if the address is taken."""
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """See socketserver; on the accepting thread."""
        with self._lock:
            if self._open.total() >= MOST or self._open[client_address[0]] >= MOST_OF_ONE:
                refused = True
            else:
                refused = False
                self._open[client_address[0]] += 1
        if refused:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """See socketserver; on the connection's own thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open[client_address[0]] -= 1
                if not self._open[client_address[0]]:
                    del self._open[client_address[0]]
