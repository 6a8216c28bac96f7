"""Signals during a prompt: cleanup runs first, then they take effect."""

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
    """A signal that ends the process, raised in the block."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def unwound() -> Iterator[None]:
    """Within the block, signals run the cleanup: the terminal gets its echo back, a dialog is closed.

    SIGINT raises KeyboardInterrupt, even if a shell without job control has set it to be ignored. SIGTERM and
    SIGHUP take effect afterwards. SIGTTIN and SIGTTOU are ignored, because other callers wait for the answer:
    a terminal that this process loses is a read error.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers can be set there only
        yield
        return
    numbers = [signal.SIGINT, *(each for each in ENDING if signal.getsignal(each) is not signal.SIG_IGN)]
    before = {number: signal.getsignal(number) for number in (*numbers, *STOPPING)}

    def handle(number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the cleanup
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
        raise KeyboardInterrupt from None  # a handler of that signal has kept the process alive
    finally:
        _restore(before)


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
