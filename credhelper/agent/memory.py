"""The agent's rules: what is cached, who holds the lease on a key, and who waits. No sockets, no I/O.

An entry is bytes under a key with the thresholds of its owner, which are only compared here. The peer that
holds the lease on a key mints; the others wait until it reports the outcome or is gone. The requests are
described in `agent/__init__.py`.
"""

TYPE_CHECKING = False  # importing typing would double the agent's memory above a bare interpreter
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from typing import Final, Protocol

    from credhelper.clocks import ExpiryThresholds, Now

    class Peer(Protocol):
        """A client of the agent."""

        def reply(self, word: str, number: int = 0, body: bytes | bytearray = b"") -> None:
            """Answer its request."""


MOST: "Final" = 64 * 1024 * 1024
"""Bytes kept in all; beyond that the oldest entries are dropped."""

ENTRY: "Final" = 1024
"""Bytes of an entry on top of its key, body and names."""

MOST_LEASES: "Final" = 4096
"""Leases at a time; beyond that a caller mints without one."""

MOST_WORDS: "Final" = 1000
"""Words cleared under a lease; beyond that nothing put under it is kept."""

LEASE_SECONDS: "Final" = 60.0
"""A lease held longer passes on: `get` has 50 s, so its holder is stopped, not at work."""

SERVE_AFTER: "Final" = 12.0
"""Seconds after which waiting peers get what still serves: more than a mint takes."""

TELL_AGAIN: "Final" = 5.0
"""Seconds after which another client is told to start a refresher, if the first one has started none."""


class Entry:
    """Cached bytes, and what they are cleared by."""

    __slots__ = ("body", "label", "of", "size", "thresholds", "told")

    def __init__(
        self, key: bytes, body: bytearray, thresholds: "ExpiryThresholds", of: str, label: str
    ) -> None:
        self.body = body
        self.thresholds = thresholds
        self.of = of
        self.label = label
        self.size = ENTRY + len(key) + len(body) + len(of) + len(label)
        self.told = float("-inf")  # when a client was told to start a refresher


class Grant:
    """The lease on a key, as its holder has it."""

    __slots__ = ("asking", "cleared", "holder", "key", "number", "since")

    def __init__(self, number: int, key: bytes, holder: "Peer", since: float) -> None:
        self.number = number
        self.key = key
        self.holder = holder
        self.since = since
        self.asking = False  # whether the holder prompts the user
        self.cleared: set[str] | None = None  # words cleared since then; empty: everything


class Memory:
    """The state of the agent. `clock` reads the clocks."""

    def __init__(self, clock: "Callable[[], Now]") -> None:
        self._clock = clock
        self._entries: dict[bytes, Entry] = {}
        self._leases: dict[bytes, Grant] = {}
        self._waiters: dict[bytes, list[tuple[Peer, str, float]]] = {}  # with mode, and since when
        self._numbers = 0
        self._next_expiry = float("inf")
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_busy(self) -> bool:
        """Whether a peer mints or waits, so that `tick` has something to do."""
        return bool(self._leases or self._waiters)

    def holds(self, peer: "Peer") -> bool:
        """Whether this peer has a lease."""
        return any(grant.holder is peer for grant in self._leases.values())

    def waits(self, peer: "Peer") -> bool:
        """Whether this peer waits."""
        return any(waiter[0] is peer for waiters in self._waiters.values() for waiter in waiters)

    def ask(self, peer: "Peer", mode: str, key: bytes) -> None:
        """`get`, `renew` or `mint`: the bytes, the lease, or wait."""
        now = self._clock()
        entry = self._entries.get(key)
        if entry is not None and self._serve(peer, mode, entry, now, leased=key in self._leases):
            return
        if key not in self._leases:
            self._grant(peer, key, now)
            return
        self._waiters.setdefault(key, []).append((peer, mode, now.steady))
        peer.reply("wait", int(self._leases[key].asking))

    @staticmethod
    def _serve(peer: "Peer", mode: str, entry: Entry, now: "Now", *, leased: bool) -> bool:
        thresholds, seconds = entry.thresholds, entry.thresholds.left(now)
        if mode == "mint" or seconds < thresholds.fresh or (mode == "renew" and seconds < thresholds.refresh):
            return False
        due = seconds < thresholds.refresh and not leased and now.steady - entry.told > TELL_AGAIN
        if due:
            entry.told = now.steady
        peer.reply("refresh" if due else "hit", 0, entry.body)
        return True

    def _grant(self, peer: "Peer", key: bytes, now: "Now") -> None:
        number = 0
        if len(self._leases) < MOST_LEASES:
            number = self._numbers = self._numbers + 1
            self._leases[key] = Grant(number, key, peer, now.steady)
        peer.reply("mint", number, self._servable(key, now))

    def _servable(self, key: bytes, now: "Now") -> bytes | bytearray:
        entry = self._entries.get(key)
        return entry.body if entry and entry.thresholds.left(now) >= entry.thresholds.servable else b""

    def lease(self, peer: "Peer", number: int) -> Grant | None:
        """The lease of that number, if this peer has it."""
        grants = self._leases.values()
        return next((grant for grant in grants if grant.number == number and grant.holder is peer), None)

    def put(self, grant: Grant, body: bytearray, thresholds: "ExpiryThresholds", of: str, label: str) -> None:
        """Bytes for all who wait, and for the cache unless they were cleared since the lease was granted."""
        entry = Entry(grant.key, body, thresholds, of, label)
        kept = grant.cleared is None or not _matches(grant.cleared, grant.key, entry)
        peers = self._release(grant)
        for peer in peers:
            peer.reply("hit", 0, body)
        grant.holder.reply("ok", int(kept))
        self._drop(grant.key)
        if kept:
            self._keep(grant.key, entry)
            return
        body[:] = bytes(len(body))
        for other in self._leases.values():
            if any(other.holder is peer for peer in peers):
                other.cleared = set()  # what they put next rests on these bytes

    def _keep(self, key: bytes, entry: Entry) -> None:
        now = self._clock()
        self._entries[key] = entry
        self.size += entry.size
        until = entry.thresholds.left(now) - entry.thresholds.servable
        self._next_expiry = min(self._next_expiry, now.steady + until)
        while self.size > MOST:
            self._drop(next(iter(self._entries)))

    def fail(self, grant: Grant, status: int, body: bytearray) -> None:
        """The same failure for all who wait; later callers start afresh."""
        for peer in self._release(grant):
            peer.reply("fail", status, body)
        grant.holder.reply("ok")

    def open(self, grant: Grant) -> None:
        """Let all who wait mint without a lease."""
        now = self._clock()
        for peer in self._release(grant):
            peer.reply("mint", 0, self._servable(grant.key, now))
        grant.holder.reply("ok")

    def drop(self, grant: Grant) -> None:
        """Pass the lease to the peer that has waited longest."""
        grant.holder.reply("ok")
        self._pass_on(grant)

    def asking(self, grant: Grant) -> None:
        """The holder prompts the user; it is told how many wait."""
        grant.asking = True
        grant.holder.reply("ok", len(self._waiters.get(grant.key, ())))

    def _pass_on(self, grant: Grant) -> None:
        del self._leases[grant.key]
        waiters = self._waiters.pop(grant.key, [])
        if waiters:
            self._set_waiters(grant.key, waiters[1:])
            self._grant(waiters[0][0], grant.key, self._clock())

    def _set_waiters(self, key: bytes, waiters: "list[tuple[Peer, str, float]]") -> None:
        self._waiters[key] = waiters
        if not waiters:
            del self._waiters[key]

    def _release(self, grant: Grant) -> "list[Peer]":
        """End a lease; returns the peers that wait for its outcome."""
        del self._leases[grant.key]
        return [peer for peer, _, _ in self._waiters.pop(grant.key, [])]

    def gone(self, peer: "Peer") -> None:
        """A peer has closed its connection: it waits no more, and its leases pass on."""
        for key, waiters in list(self._waiters.items()):
            self._set_waiters(key, [waiter for waiter in waiters if waiter[0] is not peer])
        for grant in [grant for grant in self._leases.values() if grant.holder is peer]:
            self._pass_on(grant)

    def clear(self, words: "Collection[str]") -> int:
        """Forget what goes by one of these words (none: all), now and when a mint under way is done."""
        words = set(words)
        for grant in self._leases.values():
            if grant.cleared is None:
                grant.cleared = words
            else:
                both = grant.cleared | words if grant.cleared and words else set()
                grant.cleared = both if len(both) <= MOST_WORDS else set()
        chosen = [key for key, entry in self._entries.items() if _matches(words, key, entry)]
        for key in chosen:
            self._drop(key)
        return len(chosen)

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry.size
            entry.body[:] = bytes(len(entry.body))

    def tick(self) -> None:
        """Once a second while `is_busy`: repeat `wait`, serve what still serves, end leases held too long."""
        now = self._clock()
        for grant in [grant for grant in self._leases.values() if now.steady - grant.since > LEASE_SECONDS]:
            self._pass_on(grant)
        for key, waiters in list(self._waiters.items()):
            body, grant = self._servable(key, now), self._leases[key]
            staying = []
            for waiter in waiters:
                peer, mode, since = waiter
                if body and mode != "mint" and now.steady - since > SERVE_AFTER:
                    peer.reply("hit", 0, body)
                else:
                    peer.reply("wait", int(grant.asking))
                    staying.append(waiter)
            self._set_waiters(key, staying)

    def expire(self) -> float | None:
        """Overwrite and drop what serves no more; returns the seconds until the next entry is due."""
        now = self._clock()
        if now.steady >= self._next_expiry:
            self._next_expiry = float("inf")
            for key, entry in list(self._entries.items()):
                seconds = entry.thresholds.left(now) - entry.thresholds.servable
                if seconds < 0:
                    self._drop(key)
                else:
                    self._next_expiry = min(self._next_expiry, now.steady + seconds)
        return self._next_expiry - now.steady if self._entries else None

    def lines(self) -> "Iterator[str]":
        """A line for each entry: seconds left, the call it comes from, label. Never the bytes."""
        now = self._clock()
        for entry in self._entries.values():
            yield f"{entry.thresholds.left(now):.3f} {entry.of} {entry.label}"


def _matches(words: set[str], key: bytes, entry: Entry) -> bool:
    """Whether an entry goes by one of the words; no words: every entry does."""
    names = {key.decode("utf-8", "replace"), entry.of, entry.label, entry.label.partition("@")[0]}
    return not words or not words.isdisjoint(names)
