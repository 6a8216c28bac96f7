"""Signals that arrive while a person is asked: what was begun is undone first, then they take effect."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

ENDING: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
STOPPING: Final = tuple(getattr(signal, name) for name in ("SIGTTIN", "SIGTTOU") if hasattr(signal, name))


class _EndedError(BaseException):
    """A signal that ends the process, on its way out of the block."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def unwound() -> Iterator[None]:
    """Within the block, signals unwind: a terminal gets its echo back, a dialog is closed.

    SIGINT raises KeyboardInterrupt, even where a shell without job control had it ignored. SIGTERM and SIGHUP
    do afterwards what they would have done. SIGTTIN and SIGTTOU do not stop us while others wait for the
    answer: a terminal that is taken away from us is an error of reading instead.
    """
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return
    numbers = [signal.SIGINT, *(each for each in ENDING if signal.getsignal(each) is not signal.SIG_IGN)]
    before = {number: signal.getsignal(number) for number in (*numbers, *STOPPING)}

    def handle(number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the undoing
        raise KeyboardInterrupt if number == signal.SIGINT else _EndedError(number)

    try:
        for number in numbers:
            signal.signal(number, handle)
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)
        yield
    except _EndedError as ended:
        _restore(before)
        os.kill(os.getpid(), ended.number)
        raise KeyboardInterrupt from None  # whoever handles that signal has let us live
    finally:
        _restore(before)


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
