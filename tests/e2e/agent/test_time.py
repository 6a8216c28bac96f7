"""Clocks that jump under a running agent: the real one, with real callers, under libfaketime."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from credhelper import wire
from credhelper.agent import client
from credhelper.agent.admin import AgentAdmin
from credhelper.clocks import boot_seconds

from clocks import Clock
from sandbox import agents_in, until
from sts_faults import NORMAL, expires_in, slow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox import Result, Sandbox
    from sts import LoopbackSts

if sys.platform != "linux":
    pytest.skip("the clock since boot of Linux is read", allow_module_level=True)

HOUR = 3600
NIGHT = 8 * HOUR


@dataclass
class Desk:
    """A sandbox whose agent and callers have a clock of their own."""

    sandbox: Sandbox
    sts: LoopbackSts
    clock: Clock
    directory: Path

    def start(self) -> subprocess.Popen[bytes]:
        """A caller."""
        return self.sandbox.start("get", "developer")

    def key(self, result: Result) -> str:
        """Whose credentials were printed; they have not expired on the clock of STS."""
        key, expiration = opened(result)
        assert expiration > self.sts.now(), result
        return key

    def get(self, count: int = 1) -> set[str]:
        """The access key ids that callers at once are given."""
        callers = [self.start() for _ in range(count)]
        return {self.key(self.sandbox.finish(caller)) for caller in callers}

    def connect(self) -> wire.Connection:
        return wire.connect(str(self.directory)) or pytest.fail("no agent listens")


def opened(result: Result) -> tuple[str, float]:
    """The key that was printed, and when it expires."""
    assert result.status == 0, result
    envelope: dict[str, Any] = result.envelope
    expiration = datetime.fromisoformat(envelope["Expiration"].replace("Z", "+00:00"))
    return envelope["AccessKeyId"], expiration.timestamp()


@contextmanager
def desk_with(clock: Clock, sandbox: Sandbox, sts: LoopbackSts) -> Iterator[Desk]:
    """A desk; at its end the agent is the one that it began with."""
    with sandbox.use_agent() as directory:
        directory.mkdir(0o700)
        sandbox.environ |= clock.environ
        desk = Desk(sandbox, sts, clock, directory)
        with subprocess.Popen(client.command(str(directory), 900), env=clock.environ) as agent:
            try:
                until(AgentAdmin(str(directory)).status)
                yield desk
                assert agents_in(directory) == [agent.pid]
            finally:
                agent.terminate()


@pytest.fixture
def desk(sandbox: Sandbox, sts: LoopbackSts, tmp_path: Path) -> Iterator[Desk]:
    """A sandbox whose wall clock is set while its agent runs; STS does not check it."""
    sts.check_clock = False
    with desk_with(Clock(tmp_path / "clock"), sandbox, sts) as found:
        yield found


@pytest.mark.parametrize(
    ("jumps", "mints"),
    [([HOUR, 0, HOUR], 2), ([-HOUR, 0, -HOUR], 1), ([-HOUR, HOUR, 0, -HOUR], 2)],
    ids=["forward", "back", "both"],
)
def test_a_clock_set_an_hour_either_way_mints_at_most_twice(desk: Desk, jumps: list[int], mints: int) -> None:
    desk.get()
    for ahead in jumps:
        desk.clock.jump(ahead)
        desk.get()
        desk.get(3)

    assert desk.sts.count() == mints


def test_a_clock_set_during_a_mint_does_not_age_the_answer(desk: Desk) -> None:
    desk.sts.script.append(slow(3))
    callers = [desk.start() for _ in range(3)]
    until(desk.sts.count)
    desk.clock.jump(HOUR)
    keys = {desk.key(desk.sandbox.finish(caller)) for caller in callers}

    assert len(keys) == 1
    assert desk.get(2) == keys
    assert desk.sts.count() == 1


def test_a_clock_set_back_does_not_keep_an_expired_session(desk: Desk) -> None:
    desk.sts.mode = expires_in(10)
    first, expiration = opened(desk.sandbox.finish(desk.start()))
    desk.clock.jump(-HOUR)
    until(lambda: desk.sts.now() > expiration - 3)  # half its life is 5 s, and STS tells whole seconds
    desk.sts.mode = NORMAL
    (second,) = desk.get()

    assert second != first
    assert desk.sts.count() == 2


def test_an_entry_ends_by_the_clock_since_boot_as_well(desk: Desk) -> None:
    with closing(desk.connect()) as connection:
        _, lease, _ = connection.ask(b"mint key\n")
        boot_ends = (boot_seconds() or 0) + 1.5
        words = f"put {lease} 4 {time.time() + HOUR!r} {boot_ends!r} - 0 0 of label\nbody"
        assert connection.ask(words.encode()) == ("ok", 1, b"")
        desk.clock.jump(-HOUR)
        asked, word = 0.0, "hit"
        while word == "hit":
            asked, (word, *_) = boot_seconds() or 0, connection.ask(b"get key\n")
            assert word != "hit" or asked < boot_ends

    assert word == "mint"
    assert (boot_seconds() or 0) >= boot_ends


@pytest.mark.parametrize("all_clocks", [False, True], ids=["the wall clock alone", "all clocks"])
def test_after_a_night_asleep_all_share_one_new_mint(
    sandbox: Sandbox, sts: LoopbackSts, tmp_path: Path, *, all_clocks: bool
) -> None:
    with desk_with(Clock(tmp_path / "clock", all_clocks), sandbox, sts) as desk:
        before = desk.get(2)
        sts.clock_offset = NIGHT
        desk.clock.jump(NIGHT)
        after = desk.get(10)

        assert (len(before), len(after), before & after) == (1, 1, set())
        assert desk.get(5) == after
        assert sts.count() == 2


def test_after_a_night_asleep_during_a_mint_the_next_caller_gets_a_good_session(
    sandbox: Sandbox, sts: LoopbackSts, tmp_path: Path
) -> None:
    with desk_with(Clock(tmp_path / "clock", all_clocks=True), sandbox, sts) as desk:
        sts.script.append(slow(3))
        callers = [desk.start() for _ in range(2)]
        until(sts.count)
        sts.clock_offset = NIGHT
        desk.clock.jump(NIGHT)
        for caller in callers:
            sandbox.finish(caller)
        after = desk.get(2)

        assert len(after) == 1
        assert sts.count() <= 3
