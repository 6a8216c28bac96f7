"""What botocore logs while it works for us, and while it does not."""

from __future__ import annotations

import logging
import threading

import pytest

from credhelper.aws.transport import LIBRARIES, quiet


@pytest.fixture(name="shown", autouse=True)
def _shown(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """A program that logs everything."""
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.fixture(autouse=True)
def _room() -> None:
    """A room of botocore has been imported, and with it its logger made."""
    logging.getLogger("botocore.room")


def say(name: str) -> None:
    """Log something of each of two levels."""
    logging.getLogger(name).debug("an answer")
    logging.getLogger(name).info("a step")


@pytest.mark.parametrize("name", [f"{library}.room" for library in LIBRARIES])
def test_nothing_below_info(shown: pytest.LogCaptureFixture, name: str) -> None:
    """Of all the loggers of the AWS libraries; what they say elsewhere passes."""
    logging.getLogger(name)
    quiet(lambda: say(name))()
    assert shown.messages == ["a step"]
    say(name)
    assert shown.messages == ["a step", "an answer", "a step"]


def test_of_a_function(shown: pytest.LogCaptureFixture) -> None:
    """It takes and returns what it did."""

    @quiet
    def add(one: int, *, two: int) -> int:
        say("botocore.room")
        return one + two

    assert (add(1, two=2), add.__name__) == (3, "add")
    assert shown.messages == ["a step"]


def test_only_in_the_thread_that_is_ours(shown: pytest.LogCaptureFixture) -> None:
    """Another thread logs as it likes meanwhile, and so do loggers that are not theirs."""

    def work() -> None:
        other = threading.Thread(target=say, args=("botocore.room",))
        other.start()
        other.join()
        say("botocore.room")
        say("host")

    quiet(work)()
    assert shown.messages == ["an answer", "a step", "a step", "an answer", "a step"]


def test_however_it_ends(shown: pytest.LogCaptureFixture) -> None:
    """A failure passes, one quiet call may be inside another, and no filter is put on twice."""

    def fail() -> None:
        quiet(lambda: say("botocore.room"))()
        say("botocore.room")
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - our own
        quiet(fail)()
    say("botocore.room")
    assert shown.messages == ["a step", "a step", "an answer", "a step"]
    assert len(logging.getLogger("botocore.room").filters) == 1
