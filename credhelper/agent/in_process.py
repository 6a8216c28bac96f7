"""Without an agent, the threads of one process are each other's: what one mints, all of them have.

It stands where `resolver.py` has the agent. The one of this user is asked first; only where none answers is
anything remembered here, in the memory of the process and for as long as it lives.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from credhelper import expiry
from credhelper.agent import client
from credhelper.credentials import Credentials
from credhelper.deadline import Deadline

if TYPE_CHECKING:
    from credhelper.clocks import ExpiryThresholds
    from credhelper.credentials import Clocks
    from credhelper.errors import CredhelperError


_LONGEST_WAIT: Final = 60.0
"""Seconds that nobody waits for somebody else's mint: no `get` takes longer."""


@dataclass
class _Entry:
    """What is remembered under one key. `minting` is held by the thread that mints for it."""

    minting: threading.Lock = field(default_factory=threading.Lock)
    kept: tuple[Credentials, ExpiryThresholds] | None = None
    failed: tuple[float, bytes] | None = None  # when, on the monotonic clock, and how the last mint failed

    def at_hand(self, mode: client.CacheMode) -> Credentials | None:
        """What answers the wish without a mint."""
        kept = self.kept
        if kept is None or mode == "mint":
            return None
        credentials, thresholds = kept
        needed = max(thresholds.fresh, thresholds.refresh) if mode == "renew" else thresholds.fresh
        return credentials if _left(credentials) >= needed else None

    def failure_since(self, moment: float) -> CredhelperError | None:
        """The failure of those whom we have waited for."""
        failed = self.failed
        return client.read_failure(failed[1]) if failed is not None and failed[0] >= moment else None

    def is_over(self, now: Clocks) -> bool:
        """Whether it serves nobody: no session, and no failure that anybody may still be waiting for."""
        if self.failed is not None and time.monotonic() - self.failed[0] < _LONGEST_WAIT:
            return False
        return self.kept is None or expiry.remaining(self.kept[0], now) <= 0

    def stale(self) -> bytes:
        """What serves if minting fails."""
        kept = self.kept
        if kept is None or _left(kept[0]) < kept[1].servable:
            return b""
        return kept[0].to_json().encode("ascii")


def _left(credentials: Credentials) -> float:
    return expiry.remaining(credentials, expiry.read_clocks())


_entries: dict[tuple[int, str], _Entry] = {}


def _entry(key: str) -> _Entry:
    # With the process id: a lock that is held while a process forks is never released in the child.
    return _entries.setdefault((os.getpid(), key), _Entry())


def _held(key: str, deadline: Deadline) -> _Entry | None:
    """The entry, held by this thread; None where another one holds it for too long."""
    while True:
        entry = _entry(key)
        if not entry.minting.acquire(timeout=deadline.left()):
            return None
        if _entry(key) is entry:
            return entry
        entry.minting.release()  # dropped before we held it: others may have met at a new one


def _tidy() -> None:
    """Drop what serves nobody any more, and what the parent of a fork has remembered."""
    own, now = os.getpid(), expiry.read_clocks()
    for place, entry in _entries.copy().items():
        if place[0] != own:
            _entries.pop(place, None)
        elif entry.minting.acquire(blocking=False):
            try:
                if entry.is_over(now) and _entries.get(place) is entry:
                    del _entries[place]
            finally:
                entry.minting.release()


class _Lease(client.Lease):
    """The lease that threads give each other. Whatever is told of it ends it."""

    def __init__(self, entry: _Entry) -> None:
        super().__init__(stale=entry.stale())
        self._entry: _Entry | None = entry

    def put(self, body: bytes, thresholds: ExpiryThresholds, of: str, label: str) -> bool | None:  # noqa: ARG002 - the agent's
        """Keep it for the other threads."""
        credentials = Credentials.from_json(body.decode("ascii"))
        if self._entry is not None and credentials is not None:
            self._entry.kept, self._entry.failed = (credentials, thresholds), None
        self.drop()
        return None

    def _tell(self, verb: str, words: str = "", body: bytes = b"") -> int | None:  # noqa: ARG002 - the agent's
        entry, self._entry = self._entry, None
        if entry is not None:
            if verb == "fail":
                entry.failed = time.monotonic(), body
            entry.minting.release()
        return None


class Threads:
    """The agent, or else the memory of this process, for one request."""

    def __init__(self, agent: client.AgentClient) -> None:
        self._agent = agent
        self._leases: list[_Lease] = []

    def asking(self) -> int:
        """How many callers wait at the agent while the user is asked."""
        return self._agent.asking()

    def ask(
        self, key: str, mode: client.CacheMode, patience: float
    ) -> Credentials | CredhelperError | client.Lease:
        """What the agent says; in its absence what another thread has minted, or the lease."""
        began, deadline = time.monotonic(), Deadline(patience)
        answer = self._agent.ask(key, mode, patience)
        if not isinstance(answer, client.Lease) or answer.is_shared:
            return answer
        found = _entry(key).at_hand(mode)
        entry = None if found is not None else _held(key, deadline)
        if entry is None:
            return found or answer
        lease = _Lease(entry)
        self._leases.append(lease)
        answered = entry.at_hand(mode) or entry.failure_since(began)
        if answered is not None:
            lease.drop()
        return answered or lease

    def close(self) -> None:
        """End what an interruption has left."""
        for lease in self._leases:
            lease.drop()
        _tidy()
        self._agent.close()
