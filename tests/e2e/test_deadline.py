"""A call that may hang has its time, and what it says in that time is passed on."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from credhelper.deadline import Deadline, LateError, Running, within
from credhelper.errors import NoPromptError, OutOfTimeError


def test_within_returns_an_answer_in_time() -> None:
    assert within(5, lambda: "answer") == "answer"
    assert within(5, lambda: None) is None


@pytest.mark.parametrize("error", [KeyError("k"), SystemExit(3), KeyboardInterrupt(), LateError()])
def test_within_raises_the_call_s_error(error: BaseException) -> None:
    def call() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        within(5, call)
    assert raised.value is error


def test_a_call_without_an_answer_in_time_is_late() -> None:
    over = threading.Event()
    with pytest.raises(LateError):
        within(0.2, lambda: over.wait(30))
    over.set()


def test_a_running_call_can_be_waited_for_again() -> None:
    over = threading.Event()
    running = Running(lambda: over.wait(30))
    for seconds in (0, -1, 0.05):
        with pytest.raises(LateError):
            running.wait(seconds)
    over.set()
    assert running.wait(5) is True


def test_an_abandoned_call_does_not_keep_the_process_alive() -> None:
    program = (
        "import time\nfrom credhelper.deadline import LateError, within\n"
        "try:\n    within(0.1, lambda: time.sleep(60))\nexcept LateError:\n    print('late')"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, check=True, timeout=20, text=True)
    assert (done.stdout, done.stderr) == ("late\n", "")


def test_the_seconds_left_shrink_to_zero_and_not_below(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    deadline = Deadline(10)
    assert (deadline.left(), deadline.left(4), deadline.left(40)) == (10, 4, 10)
    now = 1007.0
    assert (deadline.left(), deadline.left(4)) == (3, 3)
    now = 1011.0
    assert (deadline.left(), deadline.left(4)) == (0, 0)


def test_a_step_without_a_second_left_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    deadline = Deadline(10)
    for purpose, seconds in (("STS", 3), ("a lock", 2), ("a lock", 4)):
        with deadline.spend(purpose):
            now += seconds
        deadline.check("x needs y")
    now += 0.1
    with pytest.raises(OutOfTimeError) as waited:
        deadline.check("x needs y")
    with pytest.raises(NoPromptError) as late:
        Deadline(0.9).check("x needs y", NoPromptError)
    assert str(waited.value) == "x needs y, but no time is left: credhelper waited 6 s for a lock"
    assert str(late.value) == "x needs y, but no time is left"
