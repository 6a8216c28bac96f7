"""Asking the person at the keyboard, where an SDK has taken stdin, stdout and stderr away.

The ways are tried in the order in which they are listed here: `mfa_command`, the controlling terminal,
then dialogs. Each is a driver in a file of its own.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from credhelper.deadline import Deadline, LateError
from credhelper.errors import CancelledError, ConfigError, NoPromptError
from credhelper.prompts.command import Command
from credhelper.prompts.interrupts import unwound
from credhelper.prompts.osascript import Osascript
from credhelper.prompts.pinentry import Pinentry
from credhelper.prompts.question import Driver, Question
from credhelper.prompts.zenity import Zenity

if sys.platform == "win32":
    from credhelper.prompts.console import Console as Terminal
else:
    from credhelper.prompts.tty import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

__all__ = ["NAMES", "Answer", "Question", "ask"]

NAMES: Final = tuple(driver.name for driver in (Command, Terminal, Pinentry, Osascript, Zenity))
"""What CREDHELPER_PROMPT may name, besides 'auto' and 'none'."""


def _drivers(question: Question, command: Sequence[str], environ: Mapping[str, str]) -> list[Driver]:
    """Every way of asking, in the order in which they are tried."""
    own = [Command(tuple(command), environ)] if command and question.kind == "code" else []
    return [*own, Terminal(), Pinentry(environ), Osascript(environ), Zenity(environ)]


@dataclass(frozen=True)
class Answer:
    """What the person said ('yes' to confirm), and the name of the driver that heard it: for the record."""

    text: str = field(repr=False)
    driver: str


def _at_once(_seconds: float) -> AbstractContextManager[object]:
    return contextlib.nullcontext()


def ask(
    question: Question,
    *,
    command: Sequence[str] | None,
    choice: str,
    environ: Mapping[str, str],
    seconds: float,
    turn: Callable[[float], AbstractContextManager[object]] = _at_once,
) -> Answer:
    """Ask, and give what was answered within so many seconds.

    `command` is the profile's mfa_command, which only answers a 'code'. `choice` is CREDHELPER_PROMPT:
    'auto', 'none', or the one driver that may be used. Programs are started with `environ`. `turn` is held
    while the person is busy with the question: `Locks.hold`, for one question at a time on a terminal.

    Raises NoPromptError at once where there is no way to ask, CancelledError where the person does not want
    to, has twice given no fitting answer, or the time is over, and ConfigError for an unknown choice.
    """
    if choice not in ("auto", "none", *NAMES):
        known = ", ".join(NAMES)
        raise ConfigError(f"CREDHELPER_PROMPT must be auto, none, or one of {known}, not '{choice}'")
    deadline = Deadline(seconds)
    drivers = _drivers(question, command or (), environ)
    usable = [driver for driver in drivers if choice in ("auto", driver.name) and driver.is_usable()]
    if usable:
        try:
            with unwound(), turn(deadline.left()):
                for driver in usable:
                    answer = _ask_twice(driver, question, deadline)
                    if answer is not None:
                        return Answer(answer, driver.name)
        except KeyboardInterrupt:
            raise question.cancelled() from None
        except LateError:
            raise CancelledError(f"nobody answered within {seconds:.0f} s: {question.title}") from None
    raise _nobody(question, choice, [each.missing for each in drivers if isinstance(each, Command)])


def _ask_twice(driver: Driver, question: Question, deadline: Deadline) -> str | None:
    """An answer that fits; None where this driver cannot reach anybody after all."""
    for each in (question, question.again()):
        if not deadline.left():
            raise LateError
        try:
            typed = driver.ask(each, deadline.left())
        except OSError:  # it could not be started, or the terminal has gone
            return None
        if typed is None:
            return None
        answer = question.accept(typed)
        if answer is not None:
            return answer
        if question.kind == "confirm":
            break
    raise CancelledError(f"the answer was not {question.wanted}: {question.title}")


def _nobody(question: Question, choice: str, missing: Sequence[str | None]) -> NoPromptError:
    why = "there is no terminal in whose foreground this runs, and no dialog that could be shown"
    if any(missing):
        why = f"'mfa_command' names no program: '{missing[0]}'"
    if choice != "auto":
        why = f"CREDHELPER_PROMPT is '{choice}'"
    return NoPromptError(
        f"{question.title}, and credhelper cannot prompt here", *filter(None, [question.hint, why])
    )
