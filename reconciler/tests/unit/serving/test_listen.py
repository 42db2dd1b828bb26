"""Addresses as operators and Kubernetes write them."""

from __future__ import annotations

import pytest

from colocation.serving import address
from colocation.serving.listen import plain


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::]:8080", ("::", 8080)),
        ("[::1]:0", ("::1", 0)),
        (":9443", ("", 9443)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_host_and_port(text: str, found: tuple[str, int]) -> None:
    assert address(text) == found


@pytest.mark.parametrize("text", ["", "nowhere", "127.0.0.1:", "127.0.0.1:x", "::1:8080", "h:65536", "h:-1", "h:٣"])
def test_what_is_no_host_and_port_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        address(text)


@pytest.mark.parametrize(
    ("seen", "same"),
    [
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("10.0.0.7", "10.0.0.7"),
        ("fd00::7", "fd00::7"),
        ("::1", "::1"),
        ("::ffff:a", "::ffff:a"),
    ],
)
def test_an_address_is_spelled_the_same_by_whatever_family_it_came(seen: str, same: str) -> None:
    assert plain(seen) == same
