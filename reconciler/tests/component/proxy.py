"""NOT the API server: a proxy in front of the real one that injects faults, byte by byte, without reading any (TLS)."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.apiserver import ApiServer

_CHUNK = 16384


class Proxy:
    """Everything passes, until a test says otherwise. All of it may change while connections are open."""

    def __init__(self, api: ApiServer, folder: Path, seed: int = 0) -> None:
        self._target = ("127.0.0.1", int(api.url.rsplit(":", 1)[1]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.kubeconfig = folder / "proxy.kubeconfig"
        self.kubeconfig.write_text(api.kubeconfig.read_text().replace(api.url, url))
        self._dice = random.Random(seed)
        self._open: set[socket.socket] = set()
        self._clients: set[socket.socket] = set()
        self.delay = 0.0
        """Seconds that each piece of an answer is late."""
        self.drop = 0.0
        """Share of pieces, either way, instead of which the connection is reset."""
        self.truncate = 0.0
        """Share of pieces of answers of which only half comes, and then the end of the stream."""
        self.passes_up = threading.Event()
        """Cleared: requests are held here, and go on when it is set."""
        self.passes_up.set()
        self.hushed: set[socket.socket] = set()
        """Clients that get no more answers, and whose connection stays open all the same."""
        self.down = 0
        """Bytes of answers so far."""
        self.told: Callable[[int], None] = lambda _: None
        """Told of them as they come, before they are handed on."""
        self.faults = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.passes_up.set()
        for each in list(self._open):
            _end(each)

    def calm(self) -> None:
        """No faults any more."""
        self.delay = self.drop = self.truncate = 0.0

    def hush(self) -> None:
        """The connections there are now fall silent for ever; later ones work."""
        self.hushed |= self._clients

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(self._target)
                except OSError:
                    client.close()
                    continue
                self._open |= {client, server}
                self._clients.add(client)
                for source, sink, up in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._carry, args=(source, sink, up), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_CHUNK):
                if up:
                    self.passes_up.wait()
                else:
                    self.down += len(piece)
                    self.told(self.down)
                    time.sleep(self.delay)
                    if sink in self.hushed:
                        continue
                if self._dice.random() < self.drop:
                    self.faults += 1
                    break
                if not up and self._dice.random() < self.truncate:
                    self.faults += 1
                    sink.sendall(piece[: len(piece) // 2])
                    break
                sink.sendall(piece)
        for each in (source, sink):
            _end(each)
            self._open.discard(each)


def _end(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
