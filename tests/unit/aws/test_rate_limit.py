"""Asking STS together: at full speed until it throttles, then one after another."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from credhelper.aws import rate_limit as room
from credhelper.aws.rate_limit import ATTEMPTS, FIRST_GAP, LONGEST_GAP, TURNS, Pace, Paced
from credhelper.deadline import Deadline
from credhelper.errors import CredhelperError, RefusedError, UnreachableError

THROTTLED = UnreachableError("STS is throttling", code="Throttling")
LOST = UnreachableError("no answer")


class Clock:
    """A monotonic clock that moves when it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the room."""
    clock = Clock()
    monkeypatch.setattr(room, "time", clock)
    return clock


class TestPace:
    """Turns."""

    def test_nobody_waits_while_all_is_well(self, clock: Clock) -> None:
        """Any number at the same moment."""
        pace = Pace()

        assert [pace.turn() for _ in range(100)] == [0.0] * 100

    def test_one_throttled_request_slows_everybody_down(self, clock: Clock) -> None:
        """Then they begin one after another; those that were under way with it count as one."""
        pace = Pace()
        for _ in range(8):
            pace.throttled()
        assert pace.turn() == pytest.approx(FIRST_GAP)

        clock.now += FIRST_GAP
        assert [pace.turn(), pace.turn()] == [0.0, pytest.approx(FIRST_GAP)]

    def test_the_gap_doubles_up_to_a_limit(self, clock: Clock) -> None:
        """Each time that STS throttles again."""
        pace, gaps = Pace(), []
        for _ in range(6):
            pace.throttled()
            gaps.append(pace._gap)
            clock.now += 2 * LONGEST_GAP

        assert gaps == pytest.approx([0.2, 0.4, 0.8, 1.6, LONGEST_GAP, LONGEST_GAP])

    def test_four_sessions_make_up_for_one(self, clock: Clock) -> None:
        """Each halves the gap, until it is none."""
        pace = Pace()
        pace.throttled()
        clock.now += 1
        for _ in range(4):
            assert pace._gap > 0
            pace.went_through()

        assert pace._gap == 0
        assert [pace.turn() for _ in range(4)] == [0.0] * 4


class Sts:
    """Answers as it is told, and counts."""

    def __init__(self, *answers: Exception | str) -> None:
        self.answers = list(answers)
        self.calls = 0

    def mint(self, *_: Any) -> Any:
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def _mint(sts: Sts, stopped: threading.Event | None = None) -> Any:
    anything: Any = None
    aws: Any = sts
    return Paced(aws, stopped or threading.Event()).mint(anything, anything, None, Deadline(0))


class TestPaced:
    """Calls that are throttled come again."""

    @pytest.fixture(autouse=True)
    def _no_waiting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "FIRST_GAP", 0.001)
        monkeypatch.setattr(room, "LONGEST_GAP", 0.001)
        monkeypatch.setattr(room.random, "uniform", lambda *_: 0)

    def test_until_one_goes_through(self) -> None:
        """What is asked for is minted once."""
        sts = Sts(THROTTLED, THROTTLED, LOST, LOST, THROTTLED, "minted")

        assert (_mint(sts), sts.calls) == ("minted", 6)

    @pytest.mark.parametrize(
        ("error", "times"),
        [(THROTTLED, TURNS), (LOST, ATTEMPTS), (RefusedError("no", code="AccessDenied"), 1)],
    )
    def test_but_not_for_ever(self, error: CredhelperError, times: int) -> None:
        """A refusal is final; what got no answer may have minted, and is sent as often as botocore would."""
        sts = Sts(error)
        with pytest.raises(type(error), match=error.sentence):
            _mint(sts)

        assert sts.calls == times

    def test_a_stop_ends_the_wait(self) -> None:
        """Nothing more is asked."""
        stopped = threading.Event()
        stopped.set()
        sts = Sts("minted")
        with pytest.raises(CredhelperError, match="interrupted"):
            _mint(sts, stopped)

        assert sts.calls == 0
