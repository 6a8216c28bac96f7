"""The console of Windows, which is there although an SDK takes stdin, stdout and stderr."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from credhelper.deadline import Deadline, LateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.prompts.question import Question

POLL_SECONDS: Final = 0.05
CANCEL: Final = "\x03\x1a\x1b"
"""Ctrl-C, Ctrl-Z and Escape, as the console gives them key by key."""


@dataclass(frozen=True)
class Console:
    """Writes the question to the console and reads keys, without echo for codes and secrets."""

    name: ClassVar[str] = "tty"

    def is_usable(self) -> bool:
        """Whether there is one."""
        with _opened() as descriptors:
            return descriptors is not None

    def ask(self, question: Question, seconds: float) -> str | None:
        """The answer as typed. Raises CancelledError, LateError."""
        deadline = Deadline(seconds)
        # msvcrt reads CONIN$ and writes CONOUT$ whatever stdin and stdout are.
        keys = importlib.import_module("msvcrt")
        while keys.kbhit():  # keys from before the question do not answer it
            keys.getwch()
        _show(keys, question.on_a_terminal)
        try:
            line = _read_line(keys, deadline, echo=not question.is_hidden)
        finally:
            _show(keys, "\n")
        if line is None:
            raise question.cancelled()
        return line


@contextlib.contextmanager
def lent() -> Iterator[tuple[int, int]]:
    """stdin and stderr for a program that may prompt; NUL where there is no console."""
    with _opened() as descriptors:
        yield descriptors or (subprocess.DEVNULL, subprocess.DEVNULL)


@contextlib.contextmanager
def _opened() -> Iterator[tuple[int, int] | None]:
    descriptors: list[int] = []
    try:
        try:
            for device in ("CONIN$", "CONOUT$"):
                descriptors.append(os.open(device, os.O_RDWR))  # noqa: PERF401 - the first one has to be closed
        except OSError:
            yield None
        else:
            yield descriptors[0], descriptors[1]
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _show(keys: Any, text: str) -> None:
    for character in text.replace("\n", "\r\n"):
        keys.putwch(character)


def _read_line(keys: Any, deadline: Deadline, *, echo: bool) -> str | None:
    """The line as typed; None for a cancellation."""
    line = ""
    while True:
        if not keys.kbhit():
            if not deadline.left():
                raise LateError
            time.sleep(deadline.left(POLL_SECONDS))
            continue
        key: str = keys.getwch()
        if key in CANCEL:
            return None
        if key in "\r\n":
            return line
        if key in "\x00\xe0" and keys.kbhit():  # an arrow or a function key: two codes
            keys.getwch()
        elif key == "\b":
            _show(keys, "\b \b" if echo and line else "")
            line = line[:-1]
        elif key.isprintable():
            _show(keys, key if echo else "")
            line += key
