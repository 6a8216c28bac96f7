"""Time limits for calls that may hang.

Neither the keyring libraries nor botocore limit a call as a whole: a stopped Secret Service never answers,
and a server that sends a byte now and then never trips a read timeout. So such a call runs in a daemon
thread, which is abandoned when its time is over.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

from credhelper.errors import CredhelperError, OutOfTimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEAST: Final = 1.0
"""Seconds that a step which may block needs at least: with less, it is not started."""

Answer = TypeVar("Answer")


class LateError(Exception):
    """The call did not return in time."""


class Deadline:
    """A moment that everything within one command must meet, on the monotonic clock.

    It records what the time went to, for the error of a step that cannot start any more.
    """

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self._spent: dict[str, float] = {}

    def left(self, at_most: float = float("inf")) -> float:
        """Seconds until then, never negative, and never more than `at_most`."""
        return max(0.0, min(at_most, self._ends - time.monotonic()))

    @contextlib.contextmanager
    def spend(self, on: str) -> Iterator[None]:
        """Record the time that the block waits for something."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._spent[on] = self._spent.get(on, 0.0) + time.monotonic() - began

    def check(self, need: str, error: type[CredhelperError] = OutOfTimeError) -> None:
        """Raise the error where less than LEAST is left for what is needed; it names the longest wait."""
        if self.left() >= LEAST:
            return
        on, seconds = max(self._spent.items(), key=lambda item: item[1], default=("", 0.0))
        cause = f": credhelper waited {seconds:.0f} s for {on}" if on else ""
        raise error(f"{need}, but no time is left{cause}", "run the command again")


class Running(Generic[Answer]):
    """A call under way in a thread of its own."""

    def __init__(self, call: Callable[[], Answer]) -> None:
        self._outcome: queue.SimpleQueue[tuple[BaseException | None, Answer | None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, args=(call,), daemon=True).start()

    def _run(self, call: Callable[[], Answer]) -> None:
        try:
            self._outcome.put((None, call()))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._outcome.put((error, None))

    def wait(self, seconds: float) -> Answer:
        """What the call returned; raises what it raised, or LateError."""
        try:
            error, answer = self._outcome.get(timeout=max(0.0, seconds))
        except queue.Empty:
            raise LateError from None
        if error is not None:
            raise error
        return cast("Answer", answer)


def within(seconds: float, call: Callable[[], Answer]) -> Answer:
    """`call()`, or LateError once the seconds are over."""
    return Running(call).wait(seconds)
