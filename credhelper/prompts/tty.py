"""The controlling terminal, which is there although an SDK takes stdin, stdout and stderr."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("Windows has a console instead")

import contextlib
import os
import select
import subprocess
import termios
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from credhelper.deadline import Deadline, LateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.prompts.question import Question

DEVICE: Final = "/dev/tty"
LIMIT: Final = 4096
"""Bytes of a line: the maximum of N_TTY, the terminal driver of Linux."""

CONTROLS: Final = bytes([*range(0x20), 0x7F])
"""Keys that are no characters: the end of the line, a Ctrl-Z without effect."""


@dataclass(frozen=True)
class Terminal:
    """Writes the question to the terminal and reads a line, without echo for codes and secrets."""

    name: ClassVar[str] = "tty"

    def is_usable(self) -> bool:
        """Whether this process is in the foreground of a terminal."""
        with _opened() as terminal:
            return terminal is not None

    def ask(self, question: Question, seconds: float) -> str | None:
        """The answer as typed. Raises CancelledError, LateError, OSError."""
        deadline = Deadline(seconds)
        with _opened() as terminal:
            if terminal is None:
                return None
            with _restored(terminal) as before:
                _set(terminal, before, hidden=question.is_hidden)
                with _emptied(terminal):
                    line = _converse(terminal, question, deadline)
        if line is None:
            raise question.cancelled()
        return line.translate(None, CONTROLS).decode("utf-8", "replace")


@contextlib.contextmanager
def lent() -> Iterator[tuple[int, int]]:
    """stdin and stderr for a program that may prompt: the terminal, or /dev/null in the background.

    The modes are restored: a program that is killed does not turn the echo on again.
    """
    with _opened() as terminal:
        if terminal is None:
            yield subprocess.DEVNULL, subprocess.DEVNULL
            return
        os.set_blocking(terminal, True)
        with _restored(terminal):
            yield terminal, terminal


@contextlib.contextmanager
def _opened() -> Iterator[int | None]:
    """The terminal; None if there is none, or another process group is in its foreground.

    A background process that reads is stopped (SIGTTIN), and all callers would wait for it. The terminal does
    not block, because output that is halted (Ctrl-S) must not delay the deadline.
    """
    try:
        terminal = os.open(DEVICE, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        yield None
        return
    try:
        yield terminal if _is_foreground(terminal) else None
    except termios.error as error:  # it is no OSError, although it carries one
        raise OSError(*error.args) from None
    finally:
        os.close(terminal)


def _is_foreground(terminal: int) -> bool:
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:  # the terminal was hung up
        return False


@contextlib.contextmanager
def _restored(terminal: int) -> Iterator[list[Any]]:
    """Yields the terminal's modes and restores them at the end, without waiting for halted output."""
    before = termios.tcgetattr(terminal)
    try:
        yield before
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(terminal, termios.TCSANOW, before)


@contextlib.contextmanager
def _emptied(terminal: int) -> Iterator[None]:
    """Drops the input before and after: old keys are no answer, and half an answer is no shell command."""
    termios.tcflush(terminal, termios.TCIFLUSH)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcflush(terminal, termios.TCIFLUSH)


def _set(terminal: int, before: list[Any], *, hidden: bool) -> None:
    """Set lines and signals as in a shell, whatever the calling program has set.

    Ctrl-Z and the key for SIGQUIT have no effect: the first would stop this process while others wait, the
    second would leave the terminal without echo.
    """
    modes = [*before]
    modes[0] = (before[0] | termios.ICRNL) & ~(termios.IGNCR | termios.INLCR)
    modes[1] = before[1] | termios.OPOST | termios.ONLCR
    modes[3] = before[3] | termios.ICANON | termios.ISIG | termios.ECHO | termios.ECHOE | termios.ECHOK
    if hidden:
        modes[3] &= ~(termios.ECHO | termios.ECHONL)
    modes[6] = [*before[6]]
    disabled = bytes([os.fpathconf(terminal, "PC_VDISABLE") & 0xFF])
    for name in ("VSUSP", "VDSUSP", "VQUIT"):
        if hasattr(termios, name):
            modes[6][getattr(termios, name)] = disabled
    termios.tcsetattr(terminal, termios.TCSANOW, modes)


def _converse(terminal: int, question: Question, deadline: Deadline) -> bytes | None:
    """The line as typed; None for an end of input (Ctrl-D)."""
    line = None
    try:
        _write(terminal, question.on_a_terminal.encode("ascii"), deadline)
        line = _read_line(terminal, deadline)
        return line
    finally:
        if line is None or question.is_hidden:  # else the user's Enter has ended the line
            with contextlib.suppress(OSError):
                os.write(terminal, b"\n")


def _write(terminal: int, content: bytes, deadline: Deadline) -> None:
    while content:
        if not select.select([], [terminal], [], deadline.left())[1]:
            raise LateError
        try:
            content = content[os.write(terminal, content) :]
        except BlockingIOError:
            time.sleep(0.05)  # the buffer is too small for the expanded line


def _read_line(terminal: int, deadline: Deadline) -> bytes | None:
    line = b""
    while not line.endswith(b"\n") and len(line) <= LIMIT:
        if not select.select([terminal], [], [], deadline.left())[0]:
            raise LateError
        try:
            block = os.read(terminal, LIMIT)
        except BlockingIOError:  # another reader was quicker
            continue
        if not block:
            return None
        line += block
    return line
