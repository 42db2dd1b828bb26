"""Leader election on a coordination.k8s.io/v1 Lease, by our own clock."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct

from colocation.kube.resources import LEASES
from colocation.kube.rest import ApiError, Rest

log = logging.getLogger(__name__)
LEASE_SECONDS: Final = 15
RENEW_SECONDS: Final = 10.0
"""Seconds after the last successful renewal at which we stop writing: 5 s before another manager may take over."""
RETRY_SECONDS: Final = 2.0


def boottime() -> float:
    """Seconds since boot, suspension included.

    Unlike the wall clock it never jumps back, and unlike CLOCK_MONOTONIC it does not stand still while the
    machine sleeps and our lease runs out.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _LeaseMetadata(Struct, rename="camel", omit_defaults=True):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class _LeaseSpec(Struct, rename="camel", omit_defaults=True):
    holder_identity: str = ""
    lease_duration_seconds: int = LEASE_SECONDS
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int = 0


class _Lease(Struct, rename="camel"):
    metadata: _LeaseMetadata
    spec: _LeaseSpec = msgspec.field(default_factory=_LeaseSpec)
    api_version: str = "coordination.k8s.io/v1"
    kind: str = "Lease"


class Elector:
    """Holds the Lease or waits for it. ``step`` does one round; ``start`` does rounds on a thread."""

    def __init__(
        self,
        rest: Rest,
        namespace: str,
        name: str,
        identity: str,
        *,
        clock: Callable[[], float] = boottime,
        changed: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """``changed`` is called when leadership is gained (True) or lost (False), on the elector's thread."""
        self._rest, self._clock, self._changed = rest, clock, changed
        self._collection = LEASES.path(namespace=namespace)
        self._path = LEASES.path(name, namespace=namespace)
        self._meta = _LeaseMetadata(name=name, namespace=namespace)
        self.identity = identity
        self.holder = ""
        self.answered_at = clock()
        """When the API server last answered, for leader and standby; it is asked every `RETRY_SECONDS`."""
        self._valid_until = float("-inf")
        self._seen: tuple[str, float] = ("", float("-inf"))  # the Lease's version, and when we first saw it
        self._led = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def may_write(self) -> bool:
        """True while no other manager can hold the lease, by our own clock. Any thread."""
        return self._clock() < self._valid_until

    def start(self) -> None:
        """Run for the lease on a daemon thread."""
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop running, and give the lease up so that another takes over at once."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(RENEW_SECONDS)
        self.release()

    def step(self) -> float:
        """Acquire, renew or look; seconds until the next round."""
        try:
            self._try()
            self.answered_at = self._clock()
        except ApiError as error:
            if error.code == 409:
                self.answered_at = self._clock()
                log.info("another manager took the lease")
            else:
                log.warning("lease request failed", extra={"error": str(error)})
        except Exception:  # whatever an answer holds, the next round must come
            log.exception("lease round failed")
        self._tell()
        return RETRY_SECONDS

    def release(self) -> None:
        """Write an empty holder, if the lease is ours; no write of ours begins after this."""
        mine, self._valid_until = self.may_write(), float("-inf")
        self._tell()
        if not mine:
            return
        try:
            lease = self._rest.get(self._path, _Lease, label="leases")
            if lease.spec.holder_identity == self.identity:
                # One second, as client-go does: a candidate that only reads the duration need not wait either.
                lease.spec = _LeaseSpec("", 1, lease.spec.acquire_time, _stamp(), lease.spec.lease_transitions)
                self._rest.replace(self._path, lease, label="leases", read_seconds=3)
                log.info("lease released")
        except ApiError as error:
            log.warning("lease not released; it expires by itself", extra={"error": str(error)})

    def _run(self) -> None:
        while not self._stop.is_set():
            self._stop.wait(self.step())

    def _try(self) -> None:
        sent = self._clock()  # before the request: other candidates see the renewal later than this
        try:
            lease = self._rest.get(self._path, _Lease, label="leases")
        except ApiError as error:
            if error.code != 404:
                raise
            now = _stamp()
            new = _Lease(self._meta, _LeaseSpec(self.identity, LEASE_SECONDS, now, now))
            self._rest.create(self._collection, new, label="leases")
            self._won(sent)
            return
        spec, version = lease.spec, lease.metadata.resource_version
        if version != self._seen[0]:
            self._seen = (version, sent)
        mine = spec.holder_identity == self.identity
        expired = sent >= self._seen[1] + spec.lease_duration_seconds
        self.holder = spec.holder_identity
        if spec.holder_identity and not mine and not expired:
            self._valid_until = float("-inf")
            return
        now = _stamp()
        acquired = spec.acquire_time if mine else now
        transitions = spec.lease_transitions + (0 if mine else 1)
        lease.spec = _LeaseSpec(self.identity, LEASE_SECONDS, acquired, now, transitions)
        # The resourceVersion goes along: if another was quicker, 409.
        self._rest.replace(self._path, lease, label="leases", read_seconds=RENEW_SECONDS / 2)
        self._won(sent)

    def _won(self, sent: float) -> None:
        self.holder = self.identity
        self._valid_until = sent + RENEW_SECONDS

    def _tell(self) -> None:
        leads = self.may_write()
        if leads != self._led:
            self._led = leads
            log.info("leading" if leads else "not leading", extra={"identity": self.identity, "holder": self.holder})
            self._changed(leads)


def _stamp() -> str:
    """metav1.MicroTime, for people only: no decision depends on another machine's wall clock."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
