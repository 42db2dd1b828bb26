"""On two real nodes: somebody finds the node whose best-effort pods starve, and helps them, by the console alone.

`make console-lab`. Not a part of `make e2e`: it needs a browser, and a roll-out more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.console.browser import chromium, sign_in, visit
from tests.console.journey import MOST_CLICKS, raise_target
from tests.e2e.conftest import VALUES
from tests.e2e.pods import SPIN, pod
from tests.e2e.test_2_data import cgroup, read, running
from tests.lab import console
from tests.lab.cluster import Cluster
from tests.lab.waiting import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.lab
NODE = "node1"
LITTLE = {"targetPercent": 10, "minPercent": 5}
"""Of the node's CPU for all its pods together: what two spinning pods get of it is a sixth of their requests."""
ENOUGH = 75
PODS = ("one", "two")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="session")
def url(rolled_out: Cluster) -> str:
    """The console, rolled out as an operator would add it, and reached through the API server."""
    console.roll_out(rolled_out, "-e", f"@{VALUES}")
    return console.open_way(rolled_out.lab)


@pytest.fixture
def starved(work: Cluster) -> Iterator[Cluster]:
    """Two best-effort pods on one node, under a policy that leaves them next to nothing."""
    before = work.get("cpol", "default")["spec"]["suppress"]["cpu"]
    suppress(work, LITTLE)
    work.apply(*[pod(name, NODE, command=SPIN, cpu="300m", limit="400m") for name in PODS])
    running(work, *PODS)
    yield work
    suppress(work, {"minPercent": 0, **before})


def suppress(cluster: Cluster, cpu: dict[str, int]) -> None:
    cluster.kubectl("patch", "cpol", "default", "--type=merge", "-p", json.dumps({"spec": {"suppress": {"cpu": cpu}}}))


def quota(cluster: Cluster, name: str) -> int:
    """Microseconds of CPU that the kernel gives the pod in 100 ms."""
    return read(cluster, *cgroup(cluster, name), "cpu", "cpu.cfs_quota_us")


def starved_nodes(page: Page, url: str) -> list[str]:
    """As the console's table has them."""
    page.goto(f"{url}/nodes?state=starved")
    return [text.strip() for text in page.locator("tbody th").all_inner_texts()]


def test_a_starved_node_is_found_and_its_policys_target_raised_in_at_most_twelve_clicks(
    starved: Cluster, url: str, browser: Browser
) -> None:
    token = console.person(starved, "newcomer", "operator")
    eventually(lambda: all(0 < quota(starved, name) < 15_000 for name in PODS), 30, "they are held back")
    with visit(browser, url) as context:
        page = context.new_page()
        sign_in(page, url, token)
        eventually(lambda: starved_nodes(page, url) == [NODE], 60, "the console has seen it", every=2)

    with visit(browser, url) as context:  # signed out, nothing in its cache
        page = context.new_page()
        clicks = raise_target(page, url, token, NODE, ENOUGH, pictures="lab")
        assert clicks <= MOST_CLICKS
        assert starved.get("cpol", "default")["spec"]["suppress"]["cpu"]["targetPercent"] == ENOUGH
        # To the kernel, and back to the page.
        eventually(lambda: all(quota(starved, name) >= 20_000 for name in PODS), 60, "the pods get more CPU")
        eventually(lambda: starved_nodes(page, url) == [], 60, "the console has seen that, too", every=2)
    events = starved.kubectl("get", "events.events.k8s.io", "-n", "default", "-o", "json")
    assert "its best-effort pods starve" in events
    assert "newcomer" in events
