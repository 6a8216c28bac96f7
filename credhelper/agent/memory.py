"""What the agent remembers, and who may mint: entries, leases and those who wait; no sockets.

An entry is bytes under a key, with the moments that its owner has computed; this room only compares them.
The lease on a key belongs to a peer until it says what became of it or is gone: nobody else is told to mint
meanwhile. `wire.py` says what each request means.
"""

TYPE_CHECKING = False  # typing's own would double what the agent weighs above an interpreter
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from typing import Final, Protocol

    from credhelper.clocks import ExpiryThresholds, Now

    class Peer(Protocol):
        """Somebody who asks."""

        def reply(self, word: str, number: int = 0, body: bytes | bytearray = b"") -> None:
            """Tell them."""


MOST: "Final" = 64 * 1024 * 1024
"""Bytes kept in all; the entries that were put first make way."""

ENTRY: "Final" = 1024
"""Bytes that an entry takes beside those of its key, body and names."""

MOST_LEASES: "Final" = 4096
"""Leases at a time; whoever asks for one more mints all the same, alone."""

MOST_WORDS: "Final" = 1000
"""Words cleared under a lease; if there are more, what is put under it is not kept, whatever its names."""

LEASE_SECONDS: "Final" = 60.0
"""A lease that is held longer passes on: `get` has 50 s, so its holder is stopped, not at work."""

SERVE_AFTER: "Final" = 12.0
"""Seconds after which those who wait get what still serves: more than a mint takes."""

TELL_AGAIN: "Final" = 5.0
"""Seconds after which another client is asked for a refresher, where the one asked has sent none."""

NEVER: "Final" = float("-inf")


class Entry:
    """Bytes for whoever asks for their key, and what they are known by."""

    __slots__ = ("body", "label", "of", "thresholds", "told")

    def __init__(self, body: bytearray, thresholds: "ExpiryThresholds", of: str, label: str) -> None:
        self.body = body
        self.thresholds = thresholds
        self.of = of
        self.label = label
        self.told = NEVER  # when a client was asked for a refresher

    def size(self, key: bytes) -> int:
        """Bytes that it takes under this key."""
        return ENTRY + len(key) + len(self.body) + len(self.of) + len(self.label)


class Grant:
    """The right to mint for a key."""

    __slots__ = ("asking", "cleared", "holder", "key", "number", "since")

    def __init__(self, number: int, key: bytes, holder: "Peer", since: float) -> None:
        self.number = number
        self.key = key
        self.holder = holder
        self.since = since
        self.asking = False  # a person, and that takes time
        self.cleared: set[str] | None = None  # what was said to be forgotten since then; empty: all


class Waiter:
    """Somebody who waits for a key."""

    __slots__ = ("mode", "peer", "since")

    def __init__(self, peer: "Peer", mode: str, since: float) -> None:
        self.peer = peer
        self.mode = mode
        self.since = since


class Memory:
    """All of it. `clock` reads the clocks; nothing here waits."""

    def __init__(self, clock: "Callable[[], Now]") -> None:
        self._clock = clock
        self._entries: dict[bytes, Entry] = {}
        self._leases: dict[bytes, Grant] = {}
        self._waiters: dict[bytes, list[Waiter]] = {}
        self._numbers = 0
        self._next_expiry = float("inf")
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_busy(self) -> bool:
        """Whether anybody mints or waits, so that `tick` has something to look after."""
        return bool(self._leases or self._waiters)

    def holds(self, peer: "Peer") -> bool:
        """Whether this peer has a lease."""
        return any(lease.holder is peer for lease in self._leases.values())

    def waits(self, peer: "Peer") -> bool:
        """Whether this peer waits."""
        return any(waiter.peer is peer for waiters in self._waiters.values() for waiter in waiters)

    def ask(self, peer: "Peer", mode: str, key: bytes) -> None:
        """`get`, `renew` or `mint`: the bytes, the lease, or wait."""
        now = self._clock()
        entry = self._entries.get(key)
        if entry is not None and self._serve(peer, mode, entry, now, leased=key in self._leases):
            return
        if key not in self._leases:
            self._grant(peer, key, now)
            return
        self._waiters.setdefault(key, []).append(Waiter(peer, mode, now.steady))
        peer.reply("wait", self._is_asking(key))

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

    def _is_asking(self, key: bytes) -> int:
        lease = self._leases.get(key)
        return int(lease is not None and lease.asking)

    def _grant(self, peer: "Peer", key: bytes, now: "Now") -> None:
        if len(self._leases) >= MOST_LEASES:
            peer.reply("mint", 0, self._servable(key, now))
            return
        self._numbers += 1
        self._leases[key] = Grant(self._numbers, key, peer, now.steady)
        peer.reply("mint", self._numbers, self._servable(key, now))

    def _servable(self, key: bytes, now: "Now") -> bytes | bytearray:
        entry = self._entries.get(key)
        return entry.body if entry and entry.thresholds.left(now) >= entry.thresholds.servable else b""

    def lease(self, peer: "Peer", number: int) -> Grant | None:
        """The lease of that number, where this peer still has it."""
        for lease in self._leases.values():
            if lease.number == number and lease.holder is peer:
                return lease
        return None

    def put(self, lease: Grant, body: bytearray, thresholds: "ExpiryThresholds", of: str, label: str) -> None:
        """Bytes for all who wait, kept unless they were cleared since the lease was granted."""
        names = _names(lease.key, of, label)
        kept = lease.cleared is None or not _are_meant(lease.cleared, names)
        waiters = self._release(lease)
        for waiter in waiters:
            waiter.peer.reply("hit", 0, body)
        lease.holder.reply("ok", int(kept))
        self._drop(lease.key)
        if kept:
            self._keep(lease.key, Entry(body, thresholds, of, label))
        else:
            body[:] = bytes(len(body))
            self._spoil({id(waiter.peer) for waiter in waiters})

    def _spoil(self, peers: set[int]) -> None:
        """Nor is kept what they put under leases of theirs: it rests on what they were given just now."""
        for lease in self._leases.values():
            if id(lease.holder) in peers:
                lease.cleared = set()

    def _keep(self, key: bytes, entry: Entry) -> None:
        now = self._clock()
        self._entries[key] = entry
        self.size += entry.size(key)
        until = entry.thresholds.left(now) - entry.thresholds.servable
        self._next_expiry = min(self._next_expiry, now.steady + until)
        while self.size > MOST:
            self._drop(next(iter(self._entries)))

    def fail(self, lease: Grant, status: int, body: bytearray) -> None:
        """The same failure for all who wait; whoever comes later starts afresh."""
        for waiter in self._release(lease):
            waiter.peer.reply("fail", status, body)
        lease.holder.reply("ok")

    def open(self, lease: Grant) -> None:
        """Let all who wait mint by themselves, at once: there is nothing to share."""
        now = self._clock()
        for waiter in self._release(lease):
            waiter.peer.reply("mint", 0, self._servable(lease.key, now))
        lease.holder.reply("ok")

    def drop(self, lease: Grant) -> None:
        """The holder has not minted and does not say why: the next one's turn."""
        lease.holder.reply("ok")
        self._pass_on(lease)

    def asking(self, lease: Grant) -> None:
        """The holder asks a person, and wants to know how many wait for the answer."""
        lease.asking = True
        lease.holder.reply("ok", len(self._waiters.get(lease.key, ())))

    def _pass_on(self, lease: Grant) -> None:
        del self._leases[lease.key]
        waiters = self._waiters.get(lease.key)
        if waiters:
            following = waiters.pop(0)
            if not waiters:
                del self._waiters[lease.key]
            self._grant(following.peer, lease.key, self._clock())

    def _release(self, lease: Grant) -> list[Waiter]:
        del self._leases[lease.key]
        return self._waiters.pop(lease.key, [])

    def gone(self, peer: "Peer") -> None:
        """A peer has hung up: it waits no more, and what it held passes on."""
        for key, waiters in list(self._waiters.items()):
            left = [waiter for waiter in waiters if waiter.peer is not peer]
            if left:
                self._waiters[key] = left
            else:
                del self._waiters[key]
        for lease in [lease for lease in self._leases.values() if lease.holder is peer]:
            self._pass_on(lease)

    def clear(self, words: "Collection[str]") -> int:
        """Forget what goes by one of these names (none: all), now and when a mint under way is done."""
        words = set(words)
        for lease in self._leases.values():
            lease.cleared = _both(lease.cleared, words)
        chosen = [
            key
            for key, entry in self._entries.items()
            if _are_meant(words, _names(key, entry.of, entry.label))
        ]
        for key in chosen:
            self._drop(key)
        return len(chosen)

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry.size(key)
            entry.body[:] = bytes(len(entry.body))

    def tick(self) -> None:
        """Once a second while anybody mints or waits: say so, serve what still serves, end what is stuck."""
        now = self._clock()
        for lease in [lease for lease in self._leases.values() if now.steady - lease.since > LEASE_SECONDS]:
            self._pass_on(lease)
        for key, waiters in list(self._waiters.items()):
            body, asking = self._servable(key, now), self._is_asking(key)
            staying = []
            for waiter in waiters:
                if body and waiter.mode != "mint" and now.steady - waiter.since > SERVE_AFTER:
                    waiter.peer.reply("hit", 0, body)
                else:
                    waiter.peer.reply("wait", asking)
                    staying.append(waiter)
            self._waiters[key] = staying
            if not staying:
                del self._waiters[key]

    def expire(self) -> float | None:
        """Overwrite and drop what does not serve any more; returns the seconds until there is more of it."""
        now = self._clock()
        if now.steady >= self._next_expiry:
            lasting = {
                key: entry.thresholds.left(now) - entry.thresholds.servable
                for key, entry in self._entries.items()
            }
            for key in [key for key, seconds in lasting.items() if seconds < 0]:
                self._drop(key)
            self._next_expiry = min(
                (now.steady + seconds for seconds in lasting.values() if seconds >= 0), default=float("inf")
            )
        return self._next_expiry - now.steady if self._entries else None

    def lines(self) -> "Iterator[str]":
        """What is cached, a line each: seconds left, what it rests on, label. Never the bytes."""
        now = self._clock()
        for entry in self._entries.values():
            yield f"{entry.thresholds.left(now):.3f} {entry.of} {entry.label}"


def _names(key: bytes, of: str, label: str) -> set[str]:
    return {key.decode("utf-8", "replace"), of, label, label.partition("@")[0]}


def _both(before: set[str] | None, words: set[str]) -> set[str]:
    """What goes by a word of either; none: everything."""
    if before is None:
        return words
    both = before | words if before and words else set()
    return both if len(both) <= MOST_WORDS else set()


def _are_meant(words: set[str], names: set[str]) -> bool:
    return not words or not words.isdisjoint(names)
