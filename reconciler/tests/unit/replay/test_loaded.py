"""What runs in a cluster carries none of the code that replays traces and assesses clusters."""

import subprocess
import sys

import pytest

RUNS = {
    "manager": "colocation.cli.manager, colocation.manager.main",
    "agent": "colocation.cli.agent, colocation.agent.main",
}


@pytest.mark.parametrize("component", sorted(RUNS))
def test_the_component_loads_nothing_of_replay_and_assess(component: str) -> None:
    code = f"import sys, {RUNS[component]}; print(*(m for m in sys.modules if m.startswith('colocation.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = done.stdout.split()
    assert f"colocation.{component}.main" in loaded
    assert [module for module in loaded if module.startswith(("colocation.replay", "colocation.assess"))] == []
