"""The demo's workloads on the cluster."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tests.lab.cluster import Cluster

FILES = Path(__file__).parent / "files"
_TEMPLATES = Environment(loader=FileSystemLoader(FILES), undefined=StrictUndefined, autoescape=False)


class DemoCluster(Cluster):
    """A lab with the demo's namespace."""

    def show(self, name: str, **values: object) -> None:
        """Apply a manifest of files/."""
        self.apply(_TEMPLATES.get_template(name).render(values))

    def programs(self) -> None:
        """Namespace demo, and the programs its pods run, as a ConfigMap."""
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}})
        sources = {path.name: path.read_text() for path in FILES.glob("*.py")}
        meta = {"name": "demo", "namespace": "demo"}
        self.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": sources})

    def image(self) -> str:
        """The image that the roll-out brought: it has the Python that the demo's programs need."""
        path = "jsonpath={.spec.template.spec.containers[0].image}"
        return self.kubectl("get", "deployment", "-n", "openfuyao-colocation", "colocation-manager", "-o", path)

    def load_lines(self, node: str, since: float) -> list[str]:
        """What the load generator of a node has said in the last ``since`` seconds."""
        args = ("logs", "-n", "demo", f"shop-{node}", "-c", "load", f"--since={max(1, int(since))}s")
        return self.kubectl(*args, check=False).splitlines()

    def wait_running(self, *pods: str, seconds: float = 90) -> None:
        """Wait until these pods of namespace demo run."""
        names = [f"pod/{pod}" for pod in pods]
        self.kubectl("wait", "-n", "demo", "--for=condition=Ready", f"--timeout={seconds:.0f}s", *names)

    def finished(self) -> int:
        """Pods of the batch Job that have done their work."""
        path = "jsonpath={.status.succeeded}"
        return int(self.kubectl("get", "job", "-n", "demo", "batch", "-o", path, check=False) or 0)
