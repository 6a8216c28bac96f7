"""The agent's rules, without a socket: who may mint, who waits, what is answered and what is forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from credhelper import wire
from credhelper.agent import memory
from credhelper.agent.memory import Memory
from credhelper.clocks import ExpiryThresholds, Now

if TYPE_CHECKING:
    from credhelper.agent.memory import Grant

KEY = b"the call"
SIZE = memory.ENTRY + len("of" + "dev")
NEVER = float("-inf")
Reply = tuple[str, int, bytes]


@dataclass
class Time:
    """The clocks, moved by hand."""

    wall: float = 1_800_000_000.0
    boot: float | None = 5_000.0
    steady: float = 100.0

    def read(self) -> Now:
        return Now(self.wall, self.boot, self.steady)

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.boot = None if self.boot is None else self.boot + seconds
        self.steady += seconds


@dataclass(eq=False)
class Peer:
    """Somebody who asks, and what they have been told and not looked at yet."""

    told: list[Reply] = field(default_factory=list)

    def reply(self, word: str, number: int = 0, body: bytes | bytearray = b"") -> None:
        self.told.append((word, number, bytes(body)))

    def hears(self) -> list[Reply]:
        """All that it was told since it last listened."""
        heard, self.told = self.told, []
        return heard


class Room:
    """A memory, its clocks, and those who ask."""

    def __init__(self) -> None:
        self.time = Time()
        self.memory = Memory(self.time.read)

    def thresholds(
        self, life: float = 900, *, fresh: float = 630, refresh: float = 690, servable: float = 60
    ) -> ExpiryThresholds:
        """A session's that lasts so many seconds from now, by both clocks."""
        boot = self.time.boot
        ends = None if boot is None else boot + life
        return ExpiryThresholds(self.time.wall + life, ends, refresh, fresh, servable)

    def ask(self, mode: str = "get", key: bytes = KEY, peer: Peer | None = None) -> Peer:
        """A new peer that has asked."""
        peer = peer or Peer()
        self.memory.ask(peer, mode, key)
        return peer

    def answer(self, mode: str = "get", key: bytes = KEY) -> Reply:
        """What a new peer is told at once."""
        (reply,) = self.ask(mode, key).hears()
        return reply

    def holder(self, key: bytes = KEY, mode: str = "get") -> tuple[Peer, Grant]:
        """A new peer with the lease on a key."""
        peer = self.ask(mode, key)
        (word, number, _) = peer.hears()[0]
        lease = self.memory.lease(peer, number)
        assert (word, lease is not None) == ("mint", True)
        assert lease is not None
        return peer, lease

    def waiters(self, count: int, key: bytes = KEY) -> list[Peer]:
        """New peers that wait, in this order."""
        peers = [self.ask(key=key) for _ in range(count)]
        assert all(peer.hears() == [("wait", 0, b"")] for peer in peers)
        return peers

    def cache(
        self,
        body: bytes = b"first",
        thresholds: ExpiryThresholds | None = None,
        *,
        key: bytes = KEY,
        of: str = "of",
        label: str = "dev",
    ) -> bytearray:
        """Mint and put; returns the bytes as they are kept."""
        kept = bytearray(body)
        peer, lease = self.holder(key, "mint")
        self.memory.put(lease, kept, thresholds or self.thresholds(), of, label)
        assert peer.hears() == [("ok", 1, b"")]
        return kept


@pytest.fixture
def room() -> Room:
    """An empty memory."""
    return Room()


class TestLease:
    def test_the_first_who_asks_is_to_mint(self, room: Room) -> None:
        """Nothing is cached: the first one gets the lease, everybody after it waits."""
        peer, lease = room.holder()

        assert (lease.key, room.memory.holds(peer)) == (KEY, True)
        assert room.answer() == ("wait", 0, b"")
        assert room.answer("mint") == ("wait", 0, b"")
        assert room.answer("renew") == ("wait", 0, b"")

    def test_each_key_has_its_own(self, room: Room) -> None:
        """Two keys have two leases, with numbers of their own, and one peer may hold both."""
        peer = Peer()
        room.ask(key=b"one", peer=peer)
        room.ask(key=b"two", peer=peer)
        (_, first, _), (_, second, _) = peer.hears()

        assert 0 < first != second > 0
        assert room.memory.lease(peer, first) is not room.memory.lease(peer, second)

    def test_it_is_its_holders_alone(self, room: Room) -> None:
        """A number that somebody else was given, or nobody, is no lease."""
        peer, lease = room.holder()

        assert room.memory.lease(Peer(), lease.number) is None
        assert room.memory.lease(peer, lease.number + 1) is None
        assert room.memory.lease(peer, 0) is None

    def test_it_ends_with_what_is_said_about_it(self, room: Room) -> None:
        """After put, fail, open and drop the number means nothing any more."""
        for verb in ("put", "fail", "open", "drop"):
            peer, lease = room.holder(verb.encode())
            say(room, verb, lease)

            assert room.memory.lease(peer, lease.number) is None
            assert not room.memory.is_busy

    def test_a_holder_that_goes_passes_it_to_the_next(self, room: Room) -> None:
        """kill -9 of the holder: the one who waits longest mints, the others go on waiting."""
        peer, lease = room.holder()
        first, second = room.waiters(2)
        room.memory.gone(peer)
        ((word, number, body),) = first.hears()

        assert (word, body, second.hears()) == ("mint", b"", [])
        assert number > lease.number
        assert room.memory.holds(first)
        assert room.memory.waits(second)

    def test_a_holder_of_many_passes_each_on(self, room: Room) -> None:
        """Whoever goes leaves every lease to whoever waits for it, and none behind."""
        peer = Peer()
        for key in (b"one", b"two", b"three"):
            room.ask(key=key, peer=peer)
        (one,), (two,) = room.waiters(1, b"one"), room.waiters(1, b"two")
        room.memory.gone(peer)

        assert [reply[0] for reply in (*one.hears(), *two.hears())] == ["mint", "mint"]
        assert room.answer(key=b"three")[0] == "mint"

    def test_a_waiter_that_goes_is_not_told(self, room: Room) -> None:
        """Whoever hangs up while waiting is skipped."""
        _, lease = room.holder()
        first, second = room.waiters(2)
        room.memory.gone(first)
        room.memory.drop(lease)

        assert (first.hears(), second.hears()[0][0]) == ([], "mint")

    def test_the_last_one_who_goes_leaves_nothing(self, room: Room) -> None:
        """Holder and waiters gone, nobody is looked after any more, and a newcomer mints."""
        holder, _ = room.holder()
        for peer in (*room.waiters(2), holder):
            room.memory.gone(peer)

        assert not room.memory.is_busy
        assert room.answer()[0] == "mint"

    def test_who_asks_a_person_makes_the_others_patient(self, room: Room) -> None:
        """They are counted, told at once and every second; the next one to hold it asks nobody, so far."""
        holder, lease = room.holder()
        early = room.waiters(2)
        room.memory.asking(lease)
        late = room.ask()
        room.memory.tick()

        assert holder.hears() == [("mint", lease.number, b""), ("ok", 2, b"")][-1:]
        assert late.hears() == [("wait", 1, b"")] * 2
        assert [peer.hears() for peer in early] == [[("wait", 1, b"")]] * 2
        room.memory.drop(lease)
        room.memory.tick()
        assert early[0].hears()[0][0] == "mint"
        assert early[1].hears() == [("wait", 0, b"")]

    def test_drop_passes_it_on(self, room: Room) -> None:
        """A holder without a terminal drops it: the next one may have one."""
        peer, lease = room.holder()
        first, second = room.waiters(2)
        room.memory.drop(lease)

        assert peer.hears() == [("ok", 0, b"")]
        assert (first.hears()[0][0], second.hears()) == ("mint", [])

    def test_dropped_by_all_it_leaves_nothing(self, room: Room) -> None:
        """Passed on until nobody wants it, it is nothing for the agent to look after."""
        _, lease = room.holder()
        (waiter,) = room.waiters(1)
        room.memory.drop(lease)
        passed_on = room.memory.lease(waiter, waiter.hears()[0][1])
        assert passed_on is not None
        room.memory.drop(passed_on)

        assert not room.memory.is_busy

    def test_one_held_for_too_long_passes_on(self, room: Room) -> None:
        """After 60 s its holder is stopped, not at work: the next one mints, and a late put has no lease."""
        peer, lease = room.holder()
        (waiter,) = room.waiters(1)
        room.time.passes(memory.LEASE_SECONDS)
        room.memory.tick()

        assert waiter.hears() == [("wait", 0, b"")]

        room.time.passes(1)
        room.memory.tick()

        assert waiter.hears()[0][0] == "mint"
        assert room.memory.lease(peer, lease.number) is None
        assert memory.LEASE_SECONDS == 60

    def test_one_held_for_too_long_with_nobody_waiting(self, room: Room) -> None:
        """Where nobody waits it ends all the same, so that a newcomer need not wait."""
        room.holder()
        room.time.passes(61)
        room.memory.tick()

        assert not room.memory.is_busy
        assert room.answer()[0] == "mint"


def say(room: Room, verb: str, lease: Grant) -> None:
    """Say what became of a lease."""
    if verb == "put":
        room.memory.put(lease, bytearray(b"body"), room.thresholds(), "of", "dev")
    elif verb == "fail":
        room.memory.fail(lease, 4, bytearray(b"sentence"))
    else:
        (room.memory.open if verb == "open" else room.memory.drop)(lease)


class TestOutcome:
    def test_all_who_wait_get_what_is_put(self, room: Room) -> None:
        """One mint answers everybody, whatever they wished, and those who come later."""
        holder, lease = room.holder()
        peers = [*room.waiters(200), room.ask("mint"), room.ask("renew")]
        for peer in peers:
            peer.told.clear()
        room.memory.put(lease, bytearray(b"minted"), room.thresholds(), "of", "dev")

        assert [peer.hears() for peer in peers] == [[("hit", 0, b"minted")]] * 202
        assert holder.hears() == [("ok", 1, b"")]
        assert room.answer() == ("hit", 0, b"minted")
        assert not room.memory.is_busy

    def test_what_is_put_answers_whatever_its_life(self, room: Room) -> None:
        """A session that is below its threshold from the start is given to all who wait."""
        _, lease = room.holder()
        (waiter,) = room.waiters(1)
        room.memory.put(lease, bytearray(b"brief"), room.thresholds(life=20), "of", "dev")

        assert waiter.hears() == [("hit", 0, b"brief")]
        assert room.answer()[0] == "mint"

    def test_all_who_wait_get_the_failure(self, room: Room) -> None:
        """A failure answers everybody who waits with its exit status; newcomers start afresh."""
        holder, lease = room.holder()
        peers = room.waiters(3)
        room.memory.fail(lease, 4, bytearray(b"refused"))

        assert [peer.hears() for peer in peers] == [[("fail", 4, b"refused")]] * 3
        assert holder.hears() == [("ok", 0, b"")]
        assert room.answer() == ("mint", lease.number + 1, b"")

    def test_a_failure_leaves_what_is_cached(self, room: Room) -> None:
        """What was put before a failed attempt stays, and serves the next holder."""
        room.cache()
        _, lease = room.holder(mode="mint")
        room.memory.fail(lease, 6, bytearray(b"unreachable"))

        assert room.answer() == ("hit", 0, b"first")

    def test_open_lets_everybody_mint(self, room: Room) -> None:
        """With nothing to share all who wait are told to mint, at once and without a lease."""
        holder, lease = room.holder()
        peers = room.waiters(3)
        room.memory.open(lease)

        assert [peer.hears() for peer in peers] == [[("mint", 0, b"")]] * 3
        assert holder.hears() == [("ok", 0, b"")]
        assert not room.memory.is_busy

    def test_open_gives_what_still_serves(self, room: Room) -> None:
        """Those who mint without a lease have something to fall back on, too."""
        room.cache()
        room.time.passes(300)
        _, lease = room.holder()
        (waiter,) = room.waiters(1)
        room.memory.open(lease)

        assert waiter.hears() == [("mint", 0, b"first")]

    @pytest.mark.parametrize("verb", ["put", "fail", "open", "drop"])
    def test_other_keys_are_not_touched(self, room: Room, verb: str) -> None:
        """What is said about one lease reaches nobody who waits for another key."""
        _, other = room.holder(b"other")
        (stranger,) = room.waiters(1, b"other")
        _, lease = room.holder()
        (waiter,) = room.waiters(1)
        say(room, verb, lease)

        assert (len(waiter.hears()), stranger.hears()) == (1, [])
        assert room.memory.lease(other.holder, other.number) is other


class TestFresh:
    def test_the_three_moments(self, room: Room) -> None:
        """Before REFRESH a hit; then a hit and a refresher; below FRESH a mint that brings the bytes along.

        Below SERVABLE it brings nothing.
        """
        room.cache()
        answers = []
        for left in (690, 689.5, 630, 629.5, 60, 59.5):
            room.time.passes(room.memory._entries[KEY].thresholds.left(room.time.read()) - left)
            peer = room.ask()
            answers += [(word, body) for word, _, body in peer.hears()]
            room.memory.gone(peer)

        assert answers == [
            ("hit", b"first"),
            ("refresh", b"first"),
            ("refresh", b"first"),
            ("mint", b"first"),
            ("mint", b"first"),
            ("mint", b""),
        ]

    def test_mint_ignores_what_is_cached(self, room: Room) -> None:
        """`mint` gets the lease although the entry is fresh, and the entry goes on answering others."""
        room.cache()

        assert room.answer("mint") == ("mint", 2, b"first")
        assert room.answer() == ("hit", 0, b"first")

    def test_renew_takes_what_is_due(self, room: Room) -> None:
        """`renew` is a hit until REFRESH and the lease from then on."""
        room.cache()
        room.time.passes(210)

        assert room.answer("renew") == ("hit", 0, b"first")

        room.time.passes(0.1)

        assert room.answer("renew") == ("mint", 2, b"first")

    def test_a_second_put_takes_the_place_of_the_first(self, room: Room) -> None:
        """What was there before is overwritten, and counted no more."""
        old = room.cache(b"the first")
        room.cache(b"second")

        assert old == bytes(9)
        assert room.answer() == ("hit", 0, b"second")
        assert (len(room.memory), room.memory.size) == (1, SIZE + len(KEY) + 6)


class TestRefresh:
    def test_one_is_told_at_a_time(self, room: Room) -> None:
        """Due for a refresh, one caller is told; everybody else gets the bytes and nothing to do."""
        room.cache()
        room.time.passes(211)

        assert [room.answer()[0] for _ in range(4)] == ["refresh", "hit", "hit", "hit"]

    def test_another_one_is_told_if_nobody_came(self, room: Room) -> None:
        """5 s later without a refresher, the next one is told."""
        room.cache()
        room.time.passes(211)
        room.ask()
        room.time.passes(memory.TELL_AGAIN)

        assert room.answer()[0] == "hit"

        room.time.passes(0.1)

        assert [room.answer()[0] for _ in range(2)] == ["refresh", "hit"]
        assert memory.TELL_AGAIN == 5

    def test_nobody_is_told_while_somebody_mints(self, room: Room) -> None:
        """A refresher that has come has the lease: nobody else is sent, however long it takes."""
        room.cache()
        room.time.passes(211)
        peer, _ = room.holder(mode="renew")

        assert room.answer() == ("hit", 0, b"first")

        room.time.passes(20)

        assert room.answer() == ("hit", 0, b"first")

        room.memory.gone(peer)

        assert room.answer() == ("refresh", 0, b"first")

    def test_never_ahead_of_need(self, room: Room) -> None:
        """A mint that needs a person is not begun ahead: no caller is told, and a refresher gets a hit."""
        room.cache(thresholds=room.thresholds(refresh=NEVER))
        room.time.passes(270)

        assert room.answer() == ("hit", 0, b"first")
        assert room.answer("renew") == ("hit", 0, b"first")

    def test_what_is_renewed_is_told_of_anew(self, room: Room) -> None:
        """A new entry is refreshed in its own time, whenever somebody was told of the old one."""
        room.cache()
        room.time.passes(211)
        room.ask()
        room.cache(b"second")
        room.time.passes(211)

        assert room.answer() == ("refresh", 0, b"second")


class TestServeAfter:
    def test_those_who_wait_get_what_still_serves(self, room: Room) -> None:
        """After 12 s a mint is not coming: the older session is handed out while 60 s remain of it."""
        room.cache()
        room.time.passes(300)
        _, lease = room.holder()
        (waiter,) = room.waiters(1)
        room.time.passes(memory.SERVE_AFTER)
        room.memory.tick()

        assert waiter.hears() == [("wait", 0, b"")]

        room.time.passes(1)
        room.memory.tick()

        assert waiter.hears() == [("hit", 0, b"first")]
        assert not room.memory.waits(waiter)
        assert memory.SERVE_AFTER == 12

        room.memory.drop(lease)

        assert not room.memory.is_busy

    def test_who_wants_a_new_one_waits_for_it(self, room: Room) -> None:
        """What still serves is no answer to a refresh."""
        room.cache()
        room.holder(mode="mint")
        waiter = room.ask("mint")
        waiter.hears()
        room.time.passes(memory.SERVE_AFTER + 1)
        room.memory.tick()

        assert waiter.hears() == [("wait", 0, b"")]

    def test_each_waits_for_its_own_time(self, room: Room) -> None:
        """Who came later waits longer; the lease stays where it is."""
        room.cache()
        room.time.passes(300)
        holder, _ = room.holder()
        (early,) = room.waiters(1)
        room.time.passes(10)
        (late,) = room.waiters(1)
        room.time.passes(3)
        room.memory.tick()

        assert (early.hears()[0][0], late.hears()[0][0]) == ("hit", "wait")
        assert room.memory.holds(holder)

    @pytest.mark.parametrize("left", [None, 59])
    def test_not_what_does_not_serve(self, room: Room, left: float | None) -> None:
        """With nothing cached, or too little left of it, waiting goes on: a word each second."""
        if left is not None:
            room.cache()
            room.time.passes(900 - left)
        room.holder()
        (waiter,) = room.waiters(1)
        for _ in range(20):
            room.time.passes(1)
            room.memory.tick()

        assert waiter.hears() == [("wait", 0, b"")] * 20


class TestClear:
    @pytest.mark.parametrize(
        ("word", "left"),
        [
            ("of-1", [b"k2", b"k3"]),
            ("k2", [b"k1", b"k3"]),
            ("dev", [b"k2", b"k3"]),
            ("root", [b"k1"]),
            ("root@111122223333", [b"k1", b"k3"]),
            ("111122223333", [b"k1", b"k2", b"k3"]),
            ("de", [b"k1", b"k2", b"k3"]),
        ],
    )
    def test_by_name(self, room: Room, word: str, left: list[bytes]) -> None:
        """An entry goes by its KEY, by what it rests on, by its label, or by the label up to its @."""
        bodies = {
            b"k1": room.cache(key=b"k1", of="of-1", label="dev"),
            b"k2": room.cache(key=b"k2", of="of-2", label="root@111122223333"),
            b"k3": room.cache(key=b"k3", of="of-3", label="root@payments"),
        }
        count = room.memory.clear([word])

        assert (list(room.memory._entries), count) == (left, 3 - len(left))
        assert [key for key, body in bodies.items() if any(body)] == left

    def test_all(self, room: Room) -> None:
        """No name at all: everything goes, and is overwritten."""
        bodies = [room.cache(key=key) for key in (b"k1", b"k2")]

        assert room.memory.clear([]) == 2
        assert [*map(any, bodies), len(room.memory), room.memory.size] == [False, False, 0, 0]

    def test_a_key_that_is_no_text(self, room: Room) -> None:
        """A hit key may hold any bytes; it is cleared by what it rests on."""
        room.cache(key=b"\xff\0=", of="of-1")

        assert room.memory.clear(["of-1"]) == 1

    @pytest.mark.parametrize("words", [[], ["dev"], ["of"], [KEY.decode()], ["else", "dev"]])
    def test_a_mint_under_way_is_answered_and_not_kept(self, room: Room, words: list[str]) -> None:
        """What is put under a lease from before a clear reaches those who wait, and nobody after."""
        holder, lease = room.holder()
        (waiter,) = room.waiters(1)

        assert room.memory.clear(words) == 0

        room.memory.put(lease, bytearray(b"minted"), room.thresholds(), "of", "dev@111122223333")

        assert (waiter.hears(), holder.hears()) == ([("hit", 0, b"minted")], [("ok", 0, b"")])
        assert (len(room.memory), room.memory.size) == (0, 0)
        assert room.answer()[0] == "mint"

    def test_what_rests_on_a_mint_under_way(self, room: Room) -> None:
        """Who was answered by a mint from before the clear has nothing to be kept under another key either.

        The program that asks afterwards holds the lease on its own hit key while it waits for the call.
        """
        _, lease = room.holder()
        room.memory.clear(["dev"])
        peer, other = room.holder(b"its hit key")
        room.ask(peer=peer)
        room.memory.put(lease, bytearray(b"minted"), room.thresholds(), "of", "dev")
        peer.hears()
        room.memory.put(other, bytearray(b"envelope"), room.thresholds(), "of", "dev")

        assert peer.hears() == [("ok", 0, b"")]
        assert len(room.memory) == 0

    def test_what_is_not_kept_is_overwritten(self, room: Room) -> None:
        """No byte is left of what was put after a clear."""
        _, lease = room.holder()
        room.memory.clear([])
        body = bytearray(b"minted")
        room.memory.put(lease, body, room.thresholds(), "of", "dev")

        assert not any(body)

    def test_a_mint_under_way_of_somebody_else(self, room: Room) -> None:
        """A clear of other names leaves what is put."""
        holder, lease = room.holder()
        room.memory.clear(["other"])
        room.memory.clear(["another", "one"])
        room.memory.put(lease, bytearray(b"minted"), room.thresholds(), "of", "dev")

        assert holder.hears() == [("ok", 1, b"")]

    def test_a_mint_that_begins_afterwards(self, room: Room) -> None:
        """A lease granted after the clear is not touched by it, though it passed on from one that was."""
        first, _ = room.holder()
        (second,) = room.waiters(1)
        room.memory.clear([])
        room.memory.gone(first)
        lease = room.memory.lease(second, second.hears()[0][1])
        assert lease is not None
        room.memory.put(lease, bytearray(b"minted"), room.thresholds(), "of", "dev")

        assert second.hears() == [("ok", 1, b"")]

    def test_nothing_stale_comes_back(self, room: Room) -> None:
        """After a clear the next mint has nothing to fall back on."""
        room.cache()
        room.memory.clear(["dev"])

        assert room.answer() == ("mint", 2, b"")


class TestSize:
    def test_the_oldest_makes_way(self, room: Room) -> None:
        """64 MiB in all: the entry that was put first is overwritten and dropped."""
        body = bytes([7]) * wire.LARGEST_BODY
        kept = [room.cache(body, key=b"%04d" % number) for number in range(63)]

        assert (len(room.memory), room.memory.size) == (63, 63 * (SIZE + len(body) + 4))

        room.cache(body, key=b"0000")  # put again, it is the youngest
        kept += [room.cache(body, key=b"more%d" % number) for number in range(2)]

        assert room.memory.size <= memory.MOST == 64 * 1024 * 1024
        assert (len(room.memory), b"0000" in room.memory._entries) == (63, True)
        assert [index for index, each in enumerate(kept) if not any(each)] == [0, 1, 2]

    def test_keys_count(self, room: Room) -> None:
        """A long key takes room as its bytes do."""
        room.cache(b"12345", key=b"k" * 1000)

        assert room.memory.size == SIZE + 1005


class TestExpiry:
    def test_what_does_not_serve_is_overwritten(self, room: Room) -> None:
        """Below SERVABLE an entry is overwritten and dropped, and not a moment before."""
        kept = room.cache()
        room.time.passes(840)

        assert room.memory.expire() == 0
        assert len(room.memory) == 1

        room.time.passes(0.1)

        assert room.memory.expire() is None
        assert (bytes(kept), len(room.memory), room.memory.size) == (bytes(5), 0, 0)

    def test_says_when_there_is_more(self, room: Room) -> None:
        """The agent sleeps until the next entry is due, and for ever where there is none."""
        assert room.memory.expire() is None

        room.cache(key=b"late", thresholds=room.thresholds(3600))
        room.cache(key=b"soon")

        assert room.memory.expire() == 840

        room.time.passes(841)

        assert room.memory.expire() == 3540 - 841
        assert list(room.memory._entries) == [b"late"]

    def test_the_clock_is_read_again_where_it_was_set(self, room: Room) -> None:
        """An entry that lasts longer than it seemed, since the wall clock was set back, is not dropped."""
        room.time.boot = None
        room.cache()
        room.time.passes(841)
        room.time.wall -= 600

        assert room.memory.expire() == 599
        assert len(room.memory) == 1


class TestClocks:
    @pytest.mark.parametrize(
        ("wall", "boot", "left"),
        [(100, 100, 800), (3700, 100, -2800), (-3500, 100, 800), (100, 28_900, -28_000), (0, 0, 900)],
    )
    def test_the_lesser_of_two(self, room: Room, wall: float, boot: float, left: float) -> None:
        """What is left is the lesser of what the wall clock and the clock since boot say."""
        thresholds = room.thresholds()

        assert thresholds.left(Now(room.time.wall + wall, 5_000.0 + boot, 0.0)) == left

    @pytest.mark.parametrize("missing", ["then", "now"])
    def test_one_clock(self, room: Room, missing: str) -> None:
        """Where there is no clock since boot, then or now, the wall clock decides."""
        if missing == "then":
            room.time.boot = None
        thresholds = room.thresholds()
        boot = 99_999.0 if missing == "then" else None

        assert thresholds.left(Now(room.time.wall + 100, boot, 0.0)) == 800

    def test_a_clock_set_forward(self, room: Room) -> None:
        """An hour forward: the session has ended by the wall clock and is minted, once."""
        room.cache()
        room.time.wall += 3600

        assert room.answer() == ("mint", 2, b"")

    def test_a_clock_set_back(self, room: Room) -> None:
        """An hour back: the clock since boot ends the session in its time all the same."""
        room.cache()
        room.time.wall -= 3600

        assert room.answer() == ("hit", 0, b"first")

        room.time.passes(900)

        assert room.answer() == ("mint", 2, b"")

    def test_suspended(self, room: Room) -> None:
        """Eight hours asleep, which the clock for waits does not count: nothing of before is answered."""
        room.cache()
        room.time.wall += 8 * 3600
        room.time.boot = 5_000.0 + 8 * 3600

        assert room.answer() == ("mint", 2, b"")

    def test_a_lease_is_timed_by_a_clock_that_cannot_be_set(self, room: Room) -> None:
        """Nobody loses a lease, or is served early, because the wall clock was set."""
        room.cache()
        room.holder(mode="mint")
        (waiter,) = [room.ask("mint")]
        waiter.hears()
        room.time.wall += 3600
        room.memory.tick()

        assert waiter.hears() == [("wait", 0, b"")]


def test_status_lines(room: Room) -> None:
    """A line an entry: the seconds left, what it rests on, its label; never the bytes."""
    room.cache(b"SECRET", of="0123abcd", label="dev with blanks")
    room.time.passes(100)

    assert list(room.memory.lines()) == ["800.000 0123abcd dev with blanks"]


# -- any order of anything


KEYS = [b"one", b"two"]
LABELS = ["dev", "root@111122223333"]
WORDS = ["one", "two", "of-one", "dev", "root", "root@111122223333", "else"]
SECONDS = some.sampled_from([0.1, 1.0, 4.0, 5.1, 13.0, 30.0, 61.0, 150.0, 300.0])


@dataclass
class Known:
    """What the model knows to be cached."""

    body: bytes
    kept: bytearray
    thresholds: ExpiryThresholds
    names: set[str]
    named: int
    told: float = NEVER


@dataclass
class Held:
    """What the model knows of a lease."""

    peer: Peer
    number: int
    since: float
    cleared: list[set[str]] = field(default_factory=list)


class Ledger(RuleBasedStateMachine):
    """A memory beside a model of it: after each step everybody was told what the model says, no more."""

    def __init__(self) -> None:
        super().__init__()
        self.time = Time()
        self.memory = Memory(self.time.read)
        self.peers = [Peer() for _ in range(5)]
        self.known: dict[bytes, Known] = {}
        self.refreshing: set[int] = set()
        self.held: dict[bytes, Held] = {}
        self.queues: dict[bytes, list[tuple[Peer, float]]] = {key: [] for key in KEYS}
        self.dropped: list[bytearray] = []
        self.expected: list[tuple[Peer, Reply]] = []
        self.bodies = self.numbers = 0

    # -- the model

    def left(self, known: Known) -> float:
        return known.thresholds.left(self.time.read())

    def stale(self, key: bytes) -> bytes:
        known = self.known.get(key)
        return known.body if known and self.left(known) >= known.thresholds.servable else b""

    def grant(self, key: bytes, peer: Peer) -> None:
        self.numbers += 1
        self.held[key] = Held(peer, self.numbers, self.time.steady)
        self.expected.append((peer, ("mint", self.numbers, self.stale(key))))

    def release(self, key: bytes) -> list[Peer]:
        del self.held[key]
        queue, self.queues[key] = self.queues[key], []
        return [peer for peer, _ in queue]

    def pass_on(self, key: bytes) -> None:
        del self.held[key]
        if self.queues[key]:
            self.grant(key, self.queues[key].pop(0)[0])

    def forget(self, key: bytes) -> None:
        if key in self.known:
            self.dropped.append(self.known.pop(key).kept)

    def check(self) -> None:
        """Everybody was told what was expected, in that order, and nobody anything else."""
        for peer in self.peers:
            assert peer.hears() == [reply for each, reply in self.expected if each is peer]
        self.expected.clear()

    def is_free(self, peer: Peer) -> bool:
        """Whether it may ask: who waits is not listened to."""
        return not any(peer is each for queue in self.queues.values() for each, _ in queue)

    def speaking(self) -> list[bytes]:
        """The keys whose holders do not wait for another one."""
        return [key for key, held in self.held.items() if self.is_free(held.peer)]

    def lease(self, key: bytes) -> Grant:
        held = self.held[key]
        lease = self.memory.lease(held.peer, held.number)
        assert lease is not None
        return lease

    # -- the steps

    @rule(
        who=some.integers(0, 4),
        mode=some.sampled_from(["get", "get", "renew", "mint"]),
        key=some.sampled_from(KEYS),
    )
    def ask(self, who: int, mode: str, key: bytes) -> None:
        peer, known = self.peers[who], self.known.get(key)
        if not self.is_free(peer):
            return
        self.memory.ask(peer, mode, key)
        fresh = known is not None and self.left(known) >= known.thresholds.fresh
        due = known is not None and self.left(known) < known.thresholds.refresh
        if known is not None and fresh and mode != "mint" and not (mode == "renew" and due):
            tell = due and key not in self.held and self.time.steady > known.told + 5
            known.told = self.time.steady if tell else known.told
            self.expected.append((peer, ("refresh" if tell else "hit", 0, known.body)))
        elif key in self.held:
            self.queues[key].append((peer, self.time.steady))
            self.refreshing = (self.refreshing - {id(peer)}) | ({id(peer)} if mode == "mint" else set())
            self.expected.append((peer, ("wait", 0, b"")))
        else:
            self.grant(key, peer)
        self.check()

    @precondition(lambda self: self.speaking())
    @rule(
        data=some.data(),
        life=some.sampled_from([20.0, 100.0, 900.0, 3600.0]),
        ahead=some.booleans(),
        label=some.sampled_from(LABELS),
        by_boot=some.booleans(),
    )
    def put(self, data: Any, life: float, *, ahead: bool, label: str, by_boot: bool) -> None:
        key = data.draw(some.sampled_from(self.speaking()))
        self.bodies += 1
        body, held, lease = b"body %d" % self.bodies, self.held[key], self.lease(key)
        fresh = 630.0 if life >= 900 else life / 2
        thresholds = ExpiryThresholds(
            self.time.wall + life,
            (self.time.boot or 0) + life if by_boot else None,
            fresh + 60 if ahead else NEVER,
            fresh,
            min(60.0, fresh),
        )
        names = {key.decode(), f"of-{key.decode()}", label, label.partition("@")[0]}
        known = Known(body, bytearray(body), thresholds, names, len(f"of-{key.decode()}{label}"))
        self.memory.put(lease, known.kept, thresholds, f"of-{key.decode()}", label)
        kept = not any(not words or words & names for words in held.cleared)
        waiting = self.release(key)
        self.expected += [(peer, ("hit", 0, body)) for peer in waiting]
        self.expected.append((held.peer, ("ok", int(kept), b"")))
        self.forget(key)
        if kept:
            self.known[key] = known
            self.check()
            return
        self.dropped.append(known.kept)
        for other in self.held.values():
            if other.peer in waiting:
                other.cleared.append(set())
        self.check()

    @precondition(lambda self: self.speaking())
    @rule(data=some.data(), verb=some.sampled_from(["fail", "open", "drop"]))
    def give_up(self, data: Any, verb: str) -> None:
        key = data.draw(some.sampled_from(self.speaking()))
        holder, lease = self.held[key].peer, self.lease(key)
        self.expected.append((holder, ("ok", 0, b"")))
        if verb == "fail":
            self.memory.fail(lease, 4, bytearray(b"sentence"))
            self.expected += [(peer, ("fail", 4, b"sentence")) for peer in self.release(key)]
        elif verb == "open":
            self.memory.open(lease)
            self.expected += [(peer, ("mint", 0, self.stale(key))) for peer in self.release(key)]
        else:
            self.memory.drop(lease)
            self.pass_on(key)
        self.check()

    @rule(who=some.integers(0, 4))
    def go(self, who: int) -> None:
        peer = self.peers[who]
        self.memory.gone(peer)
        for key in KEYS:
            self.queues[key] = [each for each in self.queues[key] if each[0] is not peer]
        for key in [key for key, held in self.held.items() if held.peer is peer]:
            self.pass_on(key)
        self.check()

    @rule(words=some.lists(some.sampled_from(WORDS), max_size=2))
    def clear(self, words: list[str]) -> None:
        chosen = [key for key, known in self.known.items() if not words or known.names & set(words)]

        assert self.memory.clear(words) == len(chosen)

        for key in chosen:
            self.forget(key)
        for held in self.held.values():
            held.cleared.append(set(words))
        self.check()

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.time.passes(seconds)

    @rule(seconds=some.sampled_from([-3600.0, -240.0, 240.0, 3600.0]))
    def the_wall_clock_is_set(self, seconds: float) -> None:
        self.time.wall += seconds

    @rule()
    def tick(self) -> None:
        self.memory.tick()
        for key in [key for key, held in self.held.items() if self.time.steady - held.since > 60]:
            self.pass_on(key)
        for key in KEYS:
            for peer, since in list(self.queues[key]):
                if self.stale(key) and self.time.steady - since > 12 and id(peer) not in self.refreshing:
                    self.queues[key].remove((peer, since))
                    self.expected.append((peer, ("hit", 0, self.stale(key))))
                else:
                    self.expected.append((peer, ("wait", 0, b"")))
        self.check()

    @rule()
    def expire(self) -> None:
        due = self.memory.expire()
        for key, known in list(self.known.items()):
            if key not in self.memory._entries:
                assert self.left(known) < known.thresholds.servable
                self.forget(key)
        assert (due is None) == (not self.known)
        self.check()

    # -- what holds at any time

    @invariant()
    def nobody_waits_for_nobody(self) -> None:
        """Somebody mints for everybody who waits, one for each key."""
        assert set(self.memory._leases) == set(self.held)
        assert {key for key, queue in self.queues.items() if queue} == set(self.memory._waiters)
        assert set(self.memory._waiters) <= set(self.memory._leases)
        for peer in self.peers:
            assert self.memory.waits(peer) != self.is_free(peer)
            assert self.memory.holds(peer) == any(peer is held.peer for held in self.held.values())
        assert self.memory.is_busy == bool(self.held)

    @invariant()
    def the_size_is_the_sum(self) -> None:
        """What is counted is what is there, and it is what was put."""
        sizes = [memory.ENTRY + len(key) + len(each.body) + each.named for key, each in self.known.items()]
        assert (len(self.memory), self.memory.size) == (len(sizes), sum(sizes))
        assert {key: bytes(entry.body) for key, entry in self.memory._entries.items()} == {
            key: known.body for key, known in self.known.items()
        }

    @invariant()
    def what_was_dropped_is_overwritten(self) -> None:
        """No byte is left of what was replaced, cleared or has expired."""
        assert not any(map(any, self.dropped))


class TestAnyOrder(Ledger.TestCase):  # type: ignore[misc]
    """Whatever comes in whatever order: one lease a key, nobody forgotten, nothing answered past its time."""

    settings = settings(max_examples=150, stateful_step_count=50)
