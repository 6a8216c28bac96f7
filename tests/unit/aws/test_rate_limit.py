"""STS's rate limit: no limit until it throttles, then one call after another, and retries."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from credhelper.aws import rate_limit
from credhelper.aws.rate_limit import (
    FIRST_GAP,
    LONGEST_GAP,
    THROTTLED_ATTEMPTS,
    UNANSWERED_ATTEMPTS,
    RateLimit,
    RateLimitedSts,
)
from credhelper.deadline import Deadline
from credhelper.errors import CredhelperError, RefusedError, UnreachableError

THROTTLED = UnreachableError("STS is throttling", code="Throttling")
LOST = UnreachableError("no answer")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A monotonic clock that moves by assignment."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(rate_limit, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_without_throttling_no_call_waits() -> None:
    limit = RateLimit()
    assert [limit.acquire() for _ in range(100)] == [0.0] * 100


def test_calls_throttled_together_make_one_gap_between_calls(clock: SimpleNamespace) -> None:
    limit = RateLimit()
    for _ in range(8):
        limit.throttled()
    assert limit.acquire() == pytest.approx(FIRST_GAP)
    clock.now += FIRST_GAP
    assert [limit.acquire(), limit.acquire()] == [0.0, pytest.approx(FIRST_GAP)]


def test_gap_doubles_up_to_a_limit(clock: SimpleNamespace) -> None:
    limit, gaps = RateLimit(), []
    for _ in range(6):
        limit.throttled()
        gaps.append(limit._gap)
        clock.now += 2 * LONGEST_GAP
    assert gaps == pytest.approx([0.2, 0.4, 0.8, 1.6, LONGEST_GAP, LONGEST_GAP])


def test_four_sessions_end_the_gap_of_one_throttled_call(clock: SimpleNamespace) -> None:
    limit = RateLimit()
    limit.throttled()
    clock.now += 1
    for _ in range(4):
        assert limit._gap > 0
        limit.succeeded()
    assert [limit._gap, *(limit.acquire() for _ in range(4))] == [0.0] * 5


def mint(*answers: Exception | str, stopped: bool = False) -> tuple[Any, int]:
    """The outcome of a mint by an STS that answers so, the last one for ever; and the number of its calls."""
    left, calls = list(answers), 0

    def answer(*_: object) -> Any:
        nonlocal calls
        calls += 1
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return found

    event, sts, anything = threading.Event(), SimpleNamespace(mint=answer), SimpleNamespace()
    if stopped:
        event.set()
    try:
        minted: Any = RateLimitedSts(sts, event).mint(anything, anything, None, Deadline(0))  # type: ignore[arg-type]
    except CredhelperError as error:
        return error.sentence, calls
    return minted, calls


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        pytest.param((THROTTLED, THROTTLED, LOST, LOST, THROTTLED, "minted"), ("minted", 6), id="passing"),
        pytest.param((THROTTLED,), (THROTTLED.sentence, THROTTLED_ATTEMPTS), id="throttled"),
        pytest.param((LOST,), (LOST.sentence, UNANSWERED_ATTEMPTS), id="unanswered"),
        pytest.param((RefusedError("no", code="AccessDenied"),), ("no", 1), id="refused"),
    ],
)
def test_call_is_sent_again_only_as_often_as_its_failure_allows(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[Exception | str, ...], outcome: tuple[str, int]
) -> None:
    monkeypatch.setattr(rate_limit, "FIRST_GAP", 0.001)
    monkeypatch.setattr(rate_limit, "LONGEST_GAP", 0.001)
    monkeypatch.setattr(rate_limit.random, "uniform", lambda *_: 0)
    assert mint(*answers) == outcome


def test_stopped_sweep_sends_nothing() -> None:
    assert mint("minted", stopped=True) == ("interrupted", 0)
