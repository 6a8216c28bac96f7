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
WAIT, OK = ("wait", 0, b""), ("ok", 0, b"")
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
    """A client, and the answers that it has not read yet."""

    told: list[Reply] = field(default_factory=list)

    def reply(self, word: str, number: int = 0, body: bytes | bytearray = b"") -> None:
        self.told.append((word, number, bytes(body)))

    def hears(self) -> list[Reply]:
        """The answers since it last listened."""
        heard, self.told = self.told, []
        return heard


class Agent:
    """A memory, its clocks, and its clients."""

    def __init__(self) -> None:
        self.time = Time()
        self.memory = Memory(self.time.read)

    def thresholds(
        self, life: float = 900, *, fresh: float = 630, refresh: float = 690, servable: float = 60
    ) -> ExpiryThresholds:
        """The thresholds of a session that lasts `life` seconds from now, by both clocks."""
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

    def granted(self, peer: Peer) -> Grant:
        ((word, number, _),) = peer.hears()
        grant = self.memory.lease(peer, number)
        assert (word, grant is not None) == ("mint", True)
        assert grant is not None
        return grant

    def holder(self, key: bytes = KEY, mode: str = "get") -> tuple[Peer, Grant]:
        """A new peer with the lease on a key."""
        peer = self.ask(mode, key)
        return peer, self.granted(peer)

    def waiters(self, count: int, key: bytes = KEY, mode: str = "get") -> list[Peer]:
        peers = [self.ask(mode, key) for _ in range(count)]
        assert all(peer.hears() == [WAIT] for peer in peers)
        return peers

    def put(self, grant: Grant, body: bytes = b"minted", *, life: float = 900) -> bytearray:
        """Put bytes; returns them as they are kept."""
        kept = bytearray(body)
        self.memory.put(grant, kept, self.thresholds(life), "of", "dev")
        return kept

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
        peer, grant = self.holder(key, "mint")
        self.memory.put(grant, kept, thresholds or self.thresholds(), of, label)
        assert peer.hears() == [("ok", 1, b"")]
        return kept

    def end(self, verb: str, grant: Grant) -> None:
        if verb == "put":
            self.put(grant)
        elif verb == "fail":
            self.memory.fail(grant, 4, bytearray(b"sentence"))
        elif verb == "gone":
            self.memory.gone(grant.holder)
        else:
            getattr(self.memory, verb)(grant)

    def tick(self, after: float = 0.0) -> None:
        self.time.passes(after)
        self.memory.tick()


@pytest.fixture
def agent() -> Agent:
    return Agent()


@pytest.fixture
def aged(agent: Agent) -> Agent:
    """A memory whose session is below FRESH and above SERVABLE."""
    agent.cache()
    agent.time.passes(300)
    return agent


class TestLease:
    def test_the_first_to_ask_gets_it_and_others_wait(self, agent: Agent) -> None:
        peer, grant = agent.holder()
        assert (grant.key, agent.memory.holds(peer)) == (KEY, True)
        assert [agent.answer(mode) for mode in ("get", "mint", "renew")] == [WAIT] * 3
        assert agent.memory.lease(Peer(), grant.number) is None
        assert [agent.memory.lease(peer, number) for number in (grant.number + 1, 0)] == [None, None]

    def test_each_key_has_its_own(self, agent: Agent) -> None:
        peer = Peer()
        for key in (b"one", b"two"):
            agent.ask(key=key, peer=peer)
        (_, first, _), (_, second, _) = peer.hears()
        assert 0 < first != second > 0
        assert agent.memory.lease(peer, first) is not agent.memory.lease(peer, second)

    @pytest.mark.parametrize("verb", ["put", "fail", "open", "drop", "gone"])
    def test_its_number_ends_with_the_outcome(self, agent: Agent, verb: str) -> None:
        peer, grant = agent.holder()
        agent.end(verb, grant)
        assert agent.memory.lease(peer, grant.number) is None
        assert not agent.memory.is_busy

    @pytest.mark.parametrize(("verb", "told"), [("gone", []), ("drop", [OK])])
    def test_given_up_passes_to_the_first_in_line_that_is_there(
        self, agent: Agent, verb: str, told: list[Reply]
    ) -> None:
        peer, grant = agent.holder()
        absent, first, second = agent.waiters(3)
        agent.memory.gone(absent)
        agent.end(verb, grant)
        assert (peer.hears(), absent.hears(), second.hears()) == (told, [], [])
        following = agent.granted(first)
        assert following.number > grant.number
        assert agent.memory.waits(second)
        agent.memory.drop(following)
        agent.memory.drop(agent.granted(second))
        assert not agent.memory.is_busy

    def test_a_holder_of_many_passes_each_on(self, agent: Agent) -> None:
        peer = Peer()
        for key in (b"one", b"two", b"three"):
            agent.ask(key=key, peer=peer)
        (one,), (two,) = agent.waiters(1, b"one"), agent.waiters(1, b"two")
        agent.memory.gone(peer)
        assert [reply[0] for reply in (*one.hears(), *two.hears())] == ["mint", "mint"]
        assert agent.answer(key=b"three")[0] == "mint"

    def test_newcomer_mints_after_all_callers_left(self, agent: Agent) -> None:
        holder, _ = agent.holder()
        for peer in (*agent.waiters(2), holder):
            agent.memory.gone(peer)
        assert not agent.memory.is_busy
        assert agent.answer()[0] == "mint"

    def test_during_a_prompt_the_others_are_counted_and_told(self, agent: Agent) -> None:
        holder, grant = agent.holder()
        early = agent.waiters(2)
        agent.memory.asking(grant)
        late = agent.ask()
        agent.tick()
        assert holder.hears() == [("ok", 2, b"")]
        assert late.hears() == [("wait", 1, b"")] * 2
        assert [peer.hears() for peer in early] == [[("wait", 1, b"")]] * 2
        agent.memory.drop(grant)  # the next holder prompts for itself
        agent.tick()
        assert early[0].hears()[0][0] == "mint"
        assert early[1].hears() == [WAIT]

    def test_held_for_more_than_a_minute_passes_on_or_ends(self, agent: Agent) -> None:
        """Its holder is stopped, not at work; a late put has no lease."""
        peer, grant = agent.holder()
        (waiter,) = agent.waiters(1)
        agent.tick(memory.LEASE_SECONDS)
        assert waiter.hears() == [WAIT]
        agent.tick(1)
        assert waiter.hears()[0][0] == "mint"
        assert agent.memory.lease(peer, grant.number) is None
        agent.tick(61)
        assert not agent.memory.is_busy
        assert agent.answer()[0] == "mint"
        assert memory.LEASE_SECONDS == 60


class TestOutcome:
    def test_put_answers_all_who_wait_and_who_come_later(self, agent: Agent) -> None:
        holder, grant = agent.holder()
        peers = [*agent.waiters(200), *agent.waiters(1, mode="mint"), *agent.waiters(1, mode="renew")]
        agent.put(grant)
        assert [peer.hears() for peer in peers] == [[("hit", 0, b"minted")]] * 202
        assert holder.hears() == [("ok", 1, b"")]
        assert agent.answer() == ("hit", 0, b"minted")
        assert not agent.memory.is_busy

    def test_put_answers_those_who_wait_whatever_its_life(self, agent: Agent) -> None:
        _, grant = agent.holder()
        (waiter,) = agent.waiters(1)
        agent.put(grant, b"brief", life=20)
        assert waiter.hears() == [("hit", 0, b"brief")]
        assert agent.answer()[0] == "mint"

    @pytest.mark.parametrize(
        ("verb", "reply"), [("fail", ("fail", 4, b"sentence")), ("open", ("mint", 0, b""))]
    )
    def test_fail_and_open_answer_those_who_wait_only(self, agent: Agent, verb: str, reply: Reply) -> None:
        holder, grant = agent.holder()
        peers = agent.waiters(3)
        agent.end(verb, grant)
        assert [peer.hears() for peer in peers] == [[reply]] * 3
        assert holder.hears() == [OK]
        assert not agent.memory.is_busy
        assert agent.answer() == ("mint", grant.number + 1, b"")

    def test_a_failure_leaves_what_is_cached(self, agent: Agent) -> None:
        agent.cache()
        _, grant = agent.holder(mode="mint")
        agent.end("fail", grant)
        assert agent.answer() == ("hit", 0, b"first")

    def test_open_gives_what_still_serves(self, aged: Agent) -> None:
        _, grant = aged.holder()
        (waiter,) = aged.waiters(1)
        aged.memory.open(grant)
        assert waiter.hears() == [("mint", 0, b"first")]

    @pytest.mark.parametrize("verb", ["put", "fail", "open", "drop"])
    def test_of_one_key_does_not_touch_another(self, agent: Agent, verb: str) -> None:
        _, other = agent.holder(b"other")
        (stranger,) = agent.waiters(1, b"other")
        _, grant = agent.holder()
        (waiter,) = agent.waiters(1)
        agent.end(verb, grant)
        assert (len(waiter.hears()), stranger.hears()) == (1, [])
        assert agent.memory.lease(other.holder, other.number) is other


class TestFresh:
    @pytest.mark.parametrize(
        ("left", "mode", "word", "body"),
        [
            (900, "mint", "mint", b"first"),
            (690, "get", "hit", b"first"),
            (690, "renew", "hit", b"first"),
            (689.9, "renew", "mint", b"first"),
            (689.5, "get", "refresh", b"first"),
            (630, "get", "refresh", b"first"),
            (629.5, "get", "mint", b"first"),
            (60, "get", "mint", b"first"),
            (59.5, "get", "mint", b""),
        ],
    )
    def test_each_mode_is_answered_at_its_thresholds(
        self, agent: Agent, left: float, mode: str, word: str, body: bytes
    ) -> None:
        agent.cache()
        agent.time.passes(900 - left)
        assert agent.answer(mode) == (word, 2 if word == "mint" else 0, body)

    def test_during_a_mint_others_get_the_cached_one(self, agent: Agent) -> None:
        agent.cache()
        agent.holder(mode="mint")
        assert agent.answer() == ("hit", 0, b"first")

    def test_a_second_put_replaces_and_overwrites_the_first(self, agent: Agent) -> None:
        old = agent.cache(b"the first")
        agent.cache(b"second")
        assert old == bytes(9)
        assert agent.answer() == ("hit", 0, b"second")
        assert (len(agent.memory), agent.memory.size) == (1, SIZE + len(KEY) + 6)


class TestRefresh:
    @pytest.fixture
    def due(self, agent: Agent) -> Agent:
        agent.cache()
        agent.time.passes(211)
        return agent

    def test_one_caller_is_asked_for_it_and_another_one_after_5_s(self, due: Agent) -> None:
        assert [due.answer()[0] for _ in range(4)] == ["refresh", "hit", "hit", "hit"]
        due.time.passes(memory.TELL_AGAIN)
        assert due.answer()[0] == "hit"
        due.time.passes(0.1)
        assert [due.answer()[0] for _ in range(2)] == ["refresh", "hit"]
        assert memory.TELL_AGAIN == 5

    def test_during_a_mint_no_caller_is_asked(self, due: Agent) -> None:
        peer, _ = due.holder(mode="renew")
        assert due.answer() == ("hit", 0, b"first")
        due.time.passes(20)
        assert due.answer() == ("hit", 0, b"first")
        due.memory.gone(peer)
        assert due.answer() == ("refresh", 0, b"first")

    def test_a_session_that_needs_a_prompt_is_never_due(self, agent: Agent) -> None:
        agent.cache(thresholds=agent.thresholds(refresh=NEVER))
        agent.time.passes(270)
        assert agent.answer() == agent.answer("renew") == ("hit", 0, b"first")

    def test_a_new_session_is_due_in_its_own_time(self, due: Agent) -> None:
        due.ask()
        due.cache(b"second")
        due.time.passes(211)
        assert due.answer() == ("refresh", 0, b"second")


class TestServeAfter:
    def test_who_waits_for_12_s_gets_what_still_serves_and_who_came_later_waits_longer(
        self, aged: Agent
    ) -> None:
        holder, grant = aged.holder()
        (early,) = aged.waiters(1)
        aged.time.passes(10)
        (late,) = aged.waiters(1)
        aged.tick(memory.SERVE_AFTER - 10)
        assert (early.hears(), late.hears()) == ([WAIT], [WAIT])
        aged.tick(1)
        assert (early.hears(), late.hears()) == ([("hit", 0, b"first")], [WAIT])
        assert (aged.memory.waits(early), aged.memory.holds(holder)) == (False, True)
        assert memory.SERVE_AFTER == 12
        aged.memory.gone(late)
        aged.memory.drop(grant)
        assert not aged.memory.is_busy

    def test_who_wants_a_new_one_waits_for_it(self, agent: Agent) -> None:
        agent.cache()
        agent.holder(mode="mint")
        (waiter,) = agent.waiters(1, mode="mint")
        agent.tick(memory.SERVE_AFTER + 1)
        assert waiter.hears() == [WAIT]

    @pytest.mark.parametrize("left", [None, 59])
    def test_without_anything_that_serves_waiting_goes_on(self, agent: Agent, left: float | None) -> None:
        if left is not None:
            agent.cache()
            agent.time.passes(900 - left)
        agent.holder()
        (waiter,) = agent.waiters(1)
        for _ in range(20):
            agent.tick(1)
        assert waiter.hears() == [WAIT] * 20


class TestClear:
    @pytest.mark.parametrize(
        ("words", "left"),
        [
            (["of-1"], [b"k2", b"k3"]),
            (["k2"], [b"k1", b"k3"]),
            (["dev"], [b"k2", b"k3"]),
            (["root"], [b"k1"]),
            (["root@111122223333"], [b"k1", b"k3"]),
            (["111122223333"], [b"k1", b"k2", b"k3"]),
            (["de"], [b"k1", b"k2", b"k3"]),
            ([], []),
        ],
    )
    def test_by_key_source_label_label_up_to_at_or_everything(
        self, agent: Agent, words: list[str], left: list[bytes]
    ) -> None:
        labels = {b"k1": "dev", b"k2": "root@111122223333", b"k3": "root@payments"}
        bodies = {key: agent.cache(key=key, of=f"of-{key[1:].decode()}", label=labels[key]) for key in labels}
        assert agent.memory.clear(words) == 3 - len(left)
        assert list(agent.memory._entries) == left
        assert [key for key, body in bodies.items() if any(body)] == left
        assert bool(agent.memory.size) == bool(left)

    def test_a_key_that_is_no_text_is_cleared_by_its_source(self, agent: Agent) -> None:
        agent.cache(key=b"\xff\0=", of="of-1")
        assert agent.memory.clear(["of-1"]) == 1

    @pytest.mark.parametrize("words", [[], ["dev"], ["of"], [KEY.decode()], ["else", "dev"]])
    def test_a_mint_under_way_answers_and_is_overwritten(self, agent: Agent, words: list[str]) -> None:
        holder, grant = agent.holder()
        (waiter,) = agent.waiters(1)
        body = bytearray(b"minted")
        assert agent.memory.clear(words) == 0
        agent.memory.put(grant, body, agent.thresholds(), "of", "dev@111122223333")
        assert (waiter.hears(), holder.hears()) == ([("hit", 0, b"minted")], [OK])
        assert (len(agent.memory), agent.memory.size, any(body)) == (0, 0, False)
        assert agent.answer()[0] == "mint"

    def test_what_rests_on_a_mint_under_way_is_not_kept(self, agent: Agent) -> None:
        """A caller that comes afterwards holds the lease on its hit key while it waits for the call."""
        _, grant = agent.holder()
        agent.memory.clear(["dev"])
        peer, other = agent.holder(b"its hit key")
        agent.ask(peer=peer)
        agent.put(grant)
        peer.hears()
        agent.put(other, b"envelope")
        assert peer.hears() == [OK]
        assert len(agent.memory) == 0

    def test_of_other_names_leaves_what_is_put(self, agent: Agent) -> None:
        holder, grant = agent.holder()
        agent.memory.clear(["other"])
        agent.memory.clear(["another", "one"])
        agent.put(grant)
        assert holder.hears() == [("ok", 1, b"")]

    def test_before_a_lease_was_passed_on_leaves_what_is_put(self, agent: Agent) -> None:
        first, _ = agent.holder()
        (second,) = agent.waiters(1)
        agent.memory.clear([])
        agent.memory.gone(first)
        agent.put(agent.granted(second))
        assert second.hears() == [("ok", 1, b"")]

    def test_leaves_nothing_to_fall_back_on(self, agent: Agent) -> None:
        agent.cache()
        agent.memory.clear(["dev"])
        assert agent.answer() == ("mint", 2, b"")


def test_above_64_mib_the_oldest_is_overwritten(agent: Agent) -> None:
    body = bytes([7]) * wire.LARGEST_BODY
    kept = [agent.cache(body, key=b"%04d" % number) for number in range(63)]
    assert (len(agent.memory), agent.memory.size) == (63, 63 * (SIZE + len(body) + 4))
    agent.cache(body, key=b"0000")  # put again, it is the youngest
    kept += [agent.cache(body, key=b"more%d" % number) for number in range(2)]
    assert agent.memory.size <= memory.MOST == 64 * 1024 * 1024
    assert (len(agent.memory), b"0000" in agent.memory._entries) == (63, True)
    assert [index for index, each in enumerate(kept) if not any(each)] == [0, 1, 2]


def test_keys_count_for_the_size(agent: Agent) -> None:
    agent.cache(b"12345", key=b"k" * 1000)
    assert agent.memory.size == SIZE + 1005


class TestExpiry:
    def test_below_servable_an_entry_is_overwritten(self, agent: Agent) -> None:
        kept = agent.cache()
        agent.time.passes(840)
        assert (agent.memory.expire(), len(agent.memory)) == (0, 1)
        agent.time.passes(0.1)
        assert agent.memory.expire() is None
        assert (bytes(kept), len(agent.memory), agent.memory.size) == (bytes(5), 0, 0)

    def test_returns_the_seconds_until_the_next(self, agent: Agent) -> None:
        assert agent.memory.expire() is None
        agent.cache(key=b"late", thresholds=agent.thresholds(3600))
        agent.cache(key=b"soon")
        assert agent.memory.expire() == 840
        agent.time.passes(841)
        assert agent.memory.expire() == 3540 - 841
        assert list(agent.memory._entries) == [b"late"]

    def test_after_the_wall_clock_was_set_back_an_entry_stays(self, agent: Agent) -> None:
        agent.time.boot = None
        agent.cache()
        agent.time.passes(841)
        agent.time.wall -= 600
        assert (agent.memory.expire(), len(agent.memory)) == (599, 1)


class TestClocks:
    @pytest.mark.parametrize(
        ("wall", "boot", "left"),
        [
            *((100, 100, 800), (3700, 100, -2800), (-3500, 100, 800), (100, 28_900, -28_000), (0, 0, 900)),
            (100, None, 800),
        ],
    )
    def test_what_is_left_is_the_lesser_of_two(
        self, agent: Agent, wall: float, boot: float | None, left: float
    ) -> None:
        now = Now(agent.time.wall + wall, None if boot is None else 5_000.0 + boot, 0.0)
        assert agent.thresholds().left(now) == left

    def test_without_a_clock_since_boot_the_wall_clock_decides(self, agent: Agent) -> None:
        agent.time.boot = None
        assert agent.thresholds().left(Now(agent.time.wall + 100, 99_999.0, 0.0)) == 800

    @pytest.mark.parametrize(("wall", "boot"), [(3600, 0), (8 * 3600, 8 * 3600)], ids=["set", "asleep"])
    def test_a_jump_forward_ends_a_session(self, agent: Agent, wall: float, boot: float) -> None:
        """Time asleep, which the clock for waits does not count, passes on both others."""
        agent.cache()
        agent.time.wall += wall
        agent.time.boot = 5_000.0 + boot
        assert agent.answer() == ("mint", 2, b"")

    def test_a_wall_clock_set_back_does_not_prolong_a_session(self, agent: Agent) -> None:
        agent.cache()
        agent.time.wall -= 3600
        assert agent.answer() == ("hit", 0, b"first")
        agent.time.passes(900)
        assert agent.answer() == ("mint", 2, b"")

    def test_a_wall_clock_that_is_set_ends_no_lease(self, agent: Agent) -> None:
        agent.cache()
        agent.holder(mode="mint")
        (waiter,) = agent.waiters(1, mode="mint")
        agent.time.wall += 3600
        agent.tick()
        assert waiter.hears() == [WAIT]


def test_status_lines_have_seconds_source_and_label(agent: Agent) -> None:
    agent.cache(b"SECRET", of="0123abcd", label="dev with blanks")
    agent.time.passes(100)

    assert list(agent.memory.lines()) == ["800.000 0123abcd dev with blanks"]


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
    """A memory and a model of it: after each step every peer was told what the model says, and no more."""

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
        for peer in self.peers:
            assert peer.hears() == [reply for each, reply in self.expected if each is peer]
        self.expected.clear()

    def is_free(self, peer: Peer) -> bool:
        """Whether it may ask: a peer that waits may not."""
        return not any(peer is each for queue in self.queues.values() for each, _ in queue)

    def speaking(self) -> list[bytes]:
        """The keys whose holders do not wait for another one."""
        return [key for key, held in self.held.items() if self.is_free(held.peer)]

    def lease(self, key: bytes) -> Grant:
        held = self.held[key]
        lease = self.memory.lease(held.peer, held.number)
        assert lease is not None
        return lease

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

    @invariant()
    def who_waits_waits_for_a_holder(self) -> None:
        assert set(self.memory._leases) == set(self.held)
        assert {key for key, queue in self.queues.items() if queue} == set(self.memory._waiters)
        assert set(self.memory._waiters) <= set(self.memory._leases)
        for peer in self.peers:
            assert self.memory.waits(peer) != self.is_free(peer)
            assert self.memory.holds(peer) == any(peer is held.peer for held in self.held.values())
        assert self.memory.is_busy == bool(self.held)

    @invariant()
    def the_size_is_the_sum(self) -> None:
        sizes = [memory.ENTRY + len(key) + len(each.body) + each.named for key, each in self.known.items()]
        assert (len(self.memory), self.memory.size) == (len(sizes), sum(sizes))
        assert {key: bytes(entry.body) for key, entry in self.memory._entries.items()} == {
            key: known.body for key, known in self.known.items()
        }

    @invariant()
    def what_was_dropped_is_overwritten(self) -> None:
        assert not any(map(any, self.dropped))


class TestAnyOrder(Ledger.TestCase):  # type: ignore[misc]
    """In any order of requests: one lease a key, no waiter forgotten, nothing answered past its time."""

    settings = settings(max_examples=150, stateful_step_count=50)
