"""One function a parser: it takes any bytes, and fails where the parser does what it must not.

A parser may say no in the way that its callers expect (None, or the error in its docstring); what it lets through must
be in bounds, and must not make fail what is computed from it.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.message import Message
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from colocation import budget
from colocation.admission import Settings, answer
from colocation.budget import ReportView, Windows, add_up, evaluate, explain, select_policy, strategies, suspicions
from colocation.console import asking, people, table
from colocation.console.model import Query
from colocation.console.place import Options, context, place
from colocation.console.problems import Trouble
from colocation.console.session import Sessions
from colocation.console.sign import local
from colocation.manager.node import colocation_facts, policy_facts
from colocation.model import facts, quantity
from colocation.model.policy import QUANTITY_PATTERN
from colocation.model.report import MAX_PODS, NodeColocationSpec
from colocation.model.wire import Node, NodeColocation, Pod, StoredPolicy
from colocation.node import cgroups, files, histories, journal, knobs, memory, pressure, probe, sampler, setting, state
from colocation.predict.peak import Histories
from colocation.protect.sample import PodSample, Sample, Unavailable, Use
from colocation.protect.wanted import Enforcement, decide
from colocation.replay import traces
from colocation.replay.shape import Draw
from colocation.serving import Request
from colocation.text import json_line

WALL: Final = datetime(2026, 11, 21, tzinfo=UTC).timestamp()
NODE: Final = facts.NodeFacts(
    name="n",
    uid="u",
    resource_version="1",
    labels={"node.openfuyao.com/colocation": "true"},
    cpu_capacity=10_000,
    cpu_allocatable=9_500,
    memory_capacity=100 * 2**30,
    memory_allocatable=99 * 2**30,
)
_SCRATCH = tempfile.TemporaryDirectory(prefix="colocation-fuzz-")


class Target(NamedTuple):
    """A parser under test, and inputs that it takes, to begin with."""

    run: Callable[[bytes], bool]
    """Whether the parser took it. Raises AssertionError, or whatever else the parser must not."""
    seeds: tuple[bytes, ...]

    @property
    def is_json(self) -> bool:
        """Bytes at random are hardly ever JSON."""
        return self.seeds[0].startswith(b"{")

    def feed(self, data: bytes) -> None:
        """Run on what a fuzzer thought of: as it is, or (JSON, first byte not 0) as edits of a seed."""
        if not self.is_json:
            self.run(data)
        elif data[:1] == b"\0":
            self.run(data[1:])
        elif data:
            self.run(edited(self.seeds[data[0] % len(self.seeds)].splitlines()[0], data[1:]))


_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 1, 2**31, 2**63 - 1, 2**63, 10**30, 1.5, -0.5, 1e308, [], {}),
    *("", "NaN", "0", "-1", "1e999", "9" * 63, "9" * 70, "9" * 5000, "\0", "\x1b[2J", "../x", "x" * 600),
)


def edited(seed: bytes, data: bytes) -> bytes:
    """A JSON document with parts of it replaced: two bytes an edit, which part and by what."""
    document = json.loads(seed)
    for at in range(0, len(data) - 1, 2):
        places = list(_places(document))
        if not places or len(places) > 2000:
            break
        holder, key = places[data[at] % len(places)]
        other, name = places[data[at + 1] % len(places)]
        match data[at + 1] >> 5:
            case 0:
                holder[key] = _VALUES[data[at + 1] % len(_VALUES)]
            case 1 | 2:
                holder[key] = copy.deepcopy(other[name])
            case 3:
                del holder[key]
            case 4 if isinstance(holder[key], list):
                holder[key] *= data[at + 1] % 32
            case _:
                holder[key] = data[at + 2 : at + 12].decode("latin-1")
    return json.dumps(document).encode()


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every part of a document, as what holds it and under which key."""
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(pairs):
        yield document, key
        if isinstance(value, dict | list):
            yield from _places(value)


def quantities(data: bytes) -> bool:
    """model/quantity.py."""
    text = data.decode(errors="replace")
    values = []
    for scale in (1, 1000):
        for up in (False, True):
            try:
                values.append(quantity.parse(text, scale=scale, round_up=up))
            except ValueError as error:
                _short(error)
                assert not re.fullmatch(r"[0-9]{1,9}([KMGTPE]i)?", text, re.ASCII), f"{text} is one"
                return False
    assert values[0] <= values[1]
    assert values[2] <= values[3]
    assert all(-quantity.MAX <= value <= quantity.MAX for value in values)
    quantity.human_bytes(values[0])
    quantity.human_millicores(values[0])
    return True


def cgroup_files(data: bytes) -> bool:
    """node/: what is read of the kernel's files."""
    amounts = [files.number(data), *(files.field(data, key) for key in (b"usage_usec ", b"nr_throttled ", b" "))]
    amounts += [memory.line(data, key) for key in (b"MemTotal:", b"MemAvailable:")]
    for found in (memory.of_machine(data), *(memory.of_group(1 << 40, data, 0, v2=v2) for v2 in (False, True))):
        amounts += [one.amount for one in (found.use, found.unavailable) if one is not None]
    assert all(amount is None or 0 <= amount <= 2**63 - 1 for amount in amounts)
    percent = pressure.some_avg10(data)
    assert percent is None or 0 <= percent <= 100
    assert 0 <= sampler.count_cpus(data) <= 2**20
    name = data.decode(errors="surrogateescape")
    uid = probe.pod_uid(name)
    assert uid is None or (uid and uid.isascii() and not {"/", "\0", "\n"} & set(uid) and uid not in (".", ".."))
    path = Path(_SCRATCH.name) / "cgroup-file"
    path.write_bytes(data)
    made = cgroups.Layout(root=_SCRATCH.name, version=2, roots={"cpu": _SCRATCH.name}, pods_root="")
    file = files.OpenFile(str(path))
    try:
        setting.text(file)
        file.number()
    finally:
        file.close()
    held = knobs.PodFiles(made, "")
    held._quota = files.OpenFile(str(path))
    try:
        wanted = held._quota_setting(1500)
        assert re.fullmatch(r"[0-9]{1,19} [0-9]{1,19}", wanted.want)
    finally:
        held.close()
    return True


def report(data: bytes) -> bool:
    """NodeColocation as the manager reads it, and everything it computes from the report in it."""
    try:
        found = colocation_facts(msgspec.json.decode(data, type=NodeColocation))
    except (msgspec.DecodeError, ValueError):
        return False
    status = found.status
    assert (status is None) or len(status.pods) <= MAX_PODS
    view = ReportView(status, found.problem, 0.0, since_start=True)
    if status is not None:
        view = msgspec.structs.replace(
            view, suspicions=suspicions(NODE, status, budget.unknown_pods(status, status, ()), WALL)
        )
    _evaluate(StoredPolicy(facts_metadata()), view)
    return True


def policy(data: bytes) -> bool:
    """ColocationPolicy as the manager reads it, whatever wrote it, and a node decided by it."""
    try:
        wire = msgspec.json.decode(data, type=StoredPolicy)
    except (msgspec.DecodeError, ValueError):
        return False
    oversell = policy_facts(wire).candidate.spec.oversell
    for quantum in (oversell.cpu.quantum, oversell.memory.quantum):
        assert re.search(QUANTITY_PATTERN, quantum)
        if quantum.endswith("\n"):
            return False  # `$` of Python takes that; the API server's does not, so it is never stored
    status = colocation_facts(
        msgspec.json.decode(
            b'{"metadata":{},"status":{"observedAt":"x","system":{"cpu":1,"memory":1}}}', type=NodeColocation
        )
    ).status
    _evaluate(wire, ReportView(status, None, 0.0, since_start=True))
    return True


def facts_metadata() -> Any:
    """Metadata of an object that has a name and nothing else."""
    return msgspec.convert({"name": "p"}, type=msgspec.structs.fields(StoredPolicy)[0].type)


def _evaluate(wire: StoredPolicy, view: ReportView) -> None:
    selection = select_policy([policy_facts(wire).candidate], NODE.labels)
    windows = Windows()
    sums = add_up([], view.status, strategies(selection, view.status))
    made = evaluate(NODE, selection, view, sums, windows, 1.0)
    assert 0 <= (made.decision.cpu or 0) <= NODE.cpu_capacity
    assert 0 <= (made.decision.memory or 0) <= NODE.memory_capacity
    result = explain(NODE, selection, view, [], made, windows, 1.0)
    assert json_line(msgspec.to_builtins(result)).isprintable()


def pod(data: bytes) -> bool:
    """A Pod as the manager reads it."""
    try:
        made = facts.pod_facts(msgspec.json.decode(data, type=Pod))
    except (msgspec.DecodeError, ValueError):
        return False
    if isinstance(made, facts.PodFacts):
        msgspec.json.encode(made.as_be_pod())
        add_up([made])
    return True


def review(data: bytes) -> bool:
    """An AdmissionReview as the webhook reads it."""
    try:
        given = answer(data, Settings(hls_node_affinity=True), "")
    except ValueError:
        return False
    response = json.loads(given)["response"]
    assert response["allowed"] is True
    if "patch" in response:
        assert isinstance(json.loads(base64.b64decode(response["patch"])), list)
    return True


def node(data: bytes) -> bool:
    """A Node as the manager reads it."""
    try:
        facts.node_facts(msgspec.json.decode(data, type=Node))
    except (msgspec.DecodeError, ValueError):
        return False
    return True


def spec(data: bytes) -> bool:
    """The spec as the agent keeps it on disk, and what it decides by it."""
    path = Path(_SCRATCH.name) / "spec.json"
    path.write_bytes(data)
    followed = state.load(path)
    if followed is None:
        return False
    kept = followed.spec
    assert isinstance(kept, NodeColocationSpec)
    rows = tuple(
        PodSample(uid=one.uid, cpu=99.5, memory=Use(2**20), unavailable=Unavailable(2**19), throttled=True)
        for one in kept.pods[:5]
    )
    sample = Sample(at=2.0, seconds=1.0, cpu=500, memory=Use(2**30), pods_cpu=400, pods_memory=Use(2**29), pods=rows)
    made = decide(kept, sample, 4000, frozenset({"cpu.quota", "cpu.idle", "memory.limit"}), Enforcement())
    for wanted in made.pods.values():
        assert (wanted.cpu or 0) >= 0
        assert (wanted.memory or 0) >= 0
    return True


def journal_file(data: bytes) -> bool:
    """The journal on the node's disk: nothing outside the cgroup root is ever named."""
    path = Path(_SCRATCH.name) / "journal"
    path.write_bytes(data)
    boot = journal.boot_id()
    for line in data.decode(errors="replace").split("\n"):
        entry = journal._decode(line)
        if entry is not None:
            directory = entry.directory("/nonexistent/root")
            assert directory.startswith("/nonexistent/root")
            assert ".." not in directory.split("/")
            entry.boot = boot  # else its path would not be looked at
            entry.alive("/nonexistent/root")
    journal.Journal(str(path), "/nonexistent/root")
    journal.restore(str(path), "/nonexistent/root")
    return True


def checkpoint(data: bytes) -> bool:
    """The histories on the node's disk."""
    try:
        file = msgspec.json.decode(data, type=histories.HistoryFile)
        made = Histories()
        made.restore(file.kept, 1000.0, max(0.0, WALL - file.written))
    except ValueError:
        return False
    made.learn(1060.0, (), list(made.pods))
    msgspec.json.encode(made.keep(1060.0))
    return True


def trace(data: bytes) -> bool:
    """A usage trace of `colocation simulate`."""
    try:
        columns = traces.parse("t", data)
    except traces.TraceError as error:
        _short(error)
        return False
    if len(columns[0]) > 100:
        options = Draw(warm_up=1, horizon=1, seed=1, pods_per_node=1, nodes=0)
        traces.by_node(iter([("f", columns)] * 2), options)
    return True


def _short(error: Exception) -> None:
    """A message is a sentence, not the input."""
    assert len(str(error)) < 600


_ROW = b'{"uid":"6f1c","cpu":120,"cpuPeak":150,"memory":1048576,"memoryPeak":2097152}'
_LEARNT = b'{"uid":"6f1d","cpu":1,"memory":2,"predicted":[150,2097152,7200]}'
_STATUS = (
    b'{"observedAt":"2026-11-21T00:00:00Z","windowSeconds":60,"agentVersion":"0.1.0","node":{"cpu":900,"memory":1},'
    b'"system":{"cpu":100,"memory":1},"pods":[' + _ROW + b"," + _LEARNT + b'],"pressure":{"cpu":1.5},'
    b'"capabilities":{"kernel":"6.6","cgroupVersion":2,"features":["cpu.idle"]},"engine":{"mode":"quota","cpuUsed":3},'
    b'"conditions":[{"type":"Enforced","status":"True","reason":"r","message":"","lastTransitionTime":"t"}]}'
)
_SPEC = (
    b'{"enabled":true,"engine":"native","policy":{"name":"p"},"capacity":{"cpu":4000,"memory":8589934592},'
    b'"report":{"intervalSeconds":60,"minIntervalSeconds":5,"changePercent":10},'
    b'"suppress":{"cpu":{"mode":"auto","targetPercent":65,"minPercent":0}},'
    b'"pods":[{"uid":"6f1c","cpuRequest":500,"cpuLimit":1000,"memoryLimit":1073741824,"priority":-100}]}'
)
_POLICY = (
    b'{"metadata":{"name":"p","generation":1},"spec":{"enabled":true,"priority":1,"nodeSelector":{"matchLabels":{"a":"b"},'
    b'"matchExpressions":[{"key":"k","operator":"In","values":["v"]}]},"oversell":{"cpu":{"strategy":"usage",'
    b'"reclaimPercent":60,"maxPercent":100,"quantum":"100m"},"memory":{"strategy":"predicted","quantum":"64Mi"},'
    b'"staleAfterSeconds":180,"growAfterSeconds":300,"maxPods":250}}}'
)


def _refused(trouble: Trouble) -> bool:
    assert trouble.problem.status == 400, trouble.problem
    return False


def cookie(data: bytes) -> bool:
    """What stands in a Cookie header opens no session, unless this console sealed it."""
    headers = Message()
    headers["Cookie"] = data.decode("latin-1").replace("\n", " ").replace("\r", " ")
    parts = people.sealed(people.cookies(headers), "")
    found = SESSIONS.open(parts, WALL)
    assert found is None or found.token == "good"
    return found is not None


def headers(data: bytes) -> bool:
    """Whatever a client, or a proxy, says of itself: a place below a plain prefix, and one clean token or none."""
    given = Message()
    for line in data.decode("latin-1").split("\n")[:32]:
        name, _, value = line.partition(":")
        if name in HEADERS:
            given[name] = "".join(letter for letter in value if letter >= " ")
    request = Request("/nodes", "", "", given, b"", 0.0, "GET", "10.0.0.1")
    found = place(request, TRUSTING)
    assert re.fullmatch(r"(/[A-Za-z0-9._~:-]+)*", found.base), found.base
    assert found.path == "/nodes"
    assert context(request, found, people.cookies(given), TRUSTING).language in ("en", "zh")
    try:
        token = people.bearer(given, people.HEADERS)
    except Trouble as trouble:
        return _refused(trouble)
    assert all("!" <= letter <= "~" for letter in token)
    return bool(token)


def query(data: bytes) -> bool:
    """A query becomes a filter within its bounds, or a 400; where one is sent after signing in is ours."""
    text = data.decode("latin-1")
    assert local(text).startswith("/")
    assert not local(text).startswith("//")
    try:
        found = asking.query(text, Query)
    except Trouble as trouble:
        return _refused(trouble)
    assert 1 <= found.limit <= 200
    assert 0 <= found.continue_ <= 10**6
    with contextlib.suppress(ValueError):
        table.chosen((), found)
    return True


SESSIONS: Final = Sessions(bytes(range(32)))
TRUSTING: Final = Options(trusted_proxies=(ip_network("10.0.0.0/8"),))
HEADERS: Final = (
    "Authorization", "X-OpenFuyao-Authorization", "X-Forwarded-Access-Token", "X-Forwarded-Prefix", "X-Forwarded-Uri",
    "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Host", "Cookie", "Accept-Language",
)  # fmt: skip
_COOKIE = f"__Host-colocation={SESSIONS.seal(SESSIONS.begin('good', None, WALL))[0]}; a=b".encode()

_POD = (
    b'{"metadata":{"name":"a","namespace":"b","uid":"u","annotations":{"openfuyao.com/qos-level":"BE"},'
    b'"ownerReferences":[{"kind":"DaemonSet","controller":true}]},"spec":{"nodeName":"n","priority":-100,"overhead":{"cpu":"1m"},'
    b'"containers":[{"name":"c","resources":{"requests":{"cpu":"100m","memory":"1Gi","kubernetes.io/be-cpu":"5"},'
    b'"limits":{"kubernetes.io/be-cpu":5}}}],"initContainers":[{"name":"i","restartPolicy":"Always"}]},'
    b'"status":{"phase":"Running","containerStatuses":[{"name":"c","allocatedResources":{"cpu":"1"}}]}}'
)
_REVIEW = (
    b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"r","operation":"CREATE","object":'
    + _POD
    + b"}}"
)
_NODE = (
    b'{"metadata":{"name":"n","labels":{"node.openfuyao.com/colocation":"true"}},"status":{"capacity":{"cpu":"4",'
    b'"memory":"8Gi","kubernetes.io/be-cpu":"1500"},"allocatable":{"cpu":"3900m","memory":"7Gi"}}}'
)
_JOURNAL = b'{"boot":"b","group":7,"kind":"file","old":"max 100000","path":"kubepods/podx/cpu.max","uid":"x"}\n'
_KEPT = b'{"written":1.0,"kept":{"version":1,"pods":[["uid",[1.5,"AQD/fw==",3600.0],[1.0,"//8=",60.0]]]}}'

TARGETS: Final[dict[str, Target]] = {
    "quantities": Target(quantities, (b"1500m", b"64Gi", b"1e3", b"0.5", b"-1.5E-2", b"9223372036854775807", b".5k")),
    "cgroup_files": Target(
        cgroup_files,
        (
            b"123456\n",
            b"usage_usec 12\nnr_throttled 3\n",
            b"some avg10=1.25 avg60=0.00 avg300=0.00 total=5\n",
            b"0-3,8\n",
            b"MemTotal:       24576 kB\nMemAvailable:  1 kB\n",
            b"max 100000\n",
            b"kubepods-besteffort-pod1a_2b.slice",
            b"pod1a-2b",
        ),
    ),
    "report": Target(report, (b'{"metadata":{"name":"n"},"spec":' + _SPEC + b',"status":' + _STATUS + b"}",)),
    "policy": Target(policy, (_POLICY,)),
    "pod": Target(pod, (_POD,)),
    "review": Target(review, (_REVIEW,)),
    "node": Target(node, (_NODE,)),
    "spec": Target(spec, (_SPEC,)),
    "journal": Target(journal_file, (_JOURNAL, _JOURNAL * 2 + b"{torn")),
    "checkpoint": Target(checkpoint, (_KEPT,)),
    "cookie": Target(cookie, (_COOKIE,)),
    "headers": Target(
        headers,
        (
            b"Authorization:Bearer a.b.c\nHost:[::1]:8443\nX-Forwarded-Prefix:/c\nAccept-Language:zh;q=0.5",
            b"X-Forwarded-Uri:/api/v1/namespaces/n/services/http:c:80/proxy/nodes?a=b\nX-Forwarded-Access-Token:t",
        ),
    ),
    "query": Target(query, (b"q=a&state=open&state=closed&sort=cpu.gain&order=desc&limit=10&continue=50",)),
    "trace": Target(trace, (b"1.5 2\n3,4\n" * 60, b"7\n8\n")),
}
