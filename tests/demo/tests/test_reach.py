"""What a kept demo prints at its end, and that the console knows itself by that address."""

from __future__ import annotations

from email.message import Message
from pathlib import Path

from colocation.console.place import Options, place
from colocation.serving import Request
from tests.demo.__main__ import Way, how_to_reach
from tests.lab import console
from tests.lab.config import Lab

LAB = Lab(ident=0, node_count=2, mem_kb=8, clone=Path("/clone"))


def test_a_kept_cluster_tells_how_to_reach_it_and_its_console() -> None:
    plain = how_to_reach(LAB, None)
    assert f"KUBECONFIG={LAB.kubeconfig}" in plain
    assert "make lab-down" in plain
    assert "console" not in plain
    lines = how_to_reach(LAB, Way("http://127.0.0.1:1" + console.path(), "a.b.c")).splitlines()
    assert lines[: len(plain.splitlines())] == plain.splitlines()
    address = next(line for line in lines if "http://" in line)
    assert address.strip() == f"http://127.0.0.1:1{console.path()}/", "the slash at the end: links are relative to it"
    assert lines[-1].strip() == "a.b.c", "alone on its line, to be copied"


def test_the_console_takes_a_token_by_that_address() -> None:
    headers = Message()
    headers["Host"] = "10.244.1.7:8443"
    headers["X-Forwarded-Uri"] = f"{console.path()}/login"
    found = place(Request("/login", "", "", headers, b"", 0.0, "GET", "10.99.0.1"), Options())
    assert (found.base, found.path, found.secure) == (console.path(), "/login", True)
