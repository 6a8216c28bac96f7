"""What botocore logs while it works for us, and while it does not."""

from __future__ import annotations

import logging
import threading

import pytest

from credhelper.aws.transport import LIBRARIES, quiet


@pytest.fixture(autouse=True)
def shown(caplog):
    """The records of a program that logs everything, when a module of botocore has made its logger."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("botocore.part")
    return caplog


def say(name):
    """Log something of each of two levels."""
    logging.getLogger(name).debug("an answer")
    logging.getLogger(name).info("a step")


@pytest.mark.parametrize("name", [f"{library}.part" for library in LIBRARIES])
def test_debug_records_of_aws_libraries_are_dropped_only_within_the_call(shown, name):
    logging.getLogger(name)
    quiet(lambda: say(name))()
    assert shown.messages == ["a step"]
    say(name)
    assert shown.messages == ["a step", "an answer", "a step"]


def test_decorated_function_keeps_name_arguments_and_result(shown):
    @quiet
    def add(one, *, two):
        say("botocore.part")
        return one + two

    assert (add(1, two=2), add.__name__) == (3, "add")
    assert shown.messages == ["a step"]


def test_other_threads_and_loggers_are_not_affected(shown):
    def work():
        other = threading.Thread(target=say, args=("botocore.part",))
        other.start()
        other.join()
        say("botocore.part")
        say("host")

    quiet(work)()
    assert shown.messages == ["an answer", "a step", "a step", "an answer", "a step"]


def test_nested_or_failing_calls_restore_the_logging_and_add_one_filter(shown):
    def fail():
        quiet(lambda: say("botocore.part"))()
        say("botocore.part")
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - our own
        quiet(fail)()
    say("botocore.part")
    assert shown.messages == ["a step", "a step", "an answer", "a step"]
    assert len(logging.getLogger("botocore.part").filters) == 1
