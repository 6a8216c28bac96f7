"""Prompts: how credhelper reaches the user although an SDK has taken stdin, stdout and stderr.

Each driver has a file: `mfa_command`, the controlling terminal, then dialogs. They are tried in this order.
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
"""The values of CREDHELPER_PROMPT, apart from 'auto' and 'none'."""


PROMPT_SECONDS: Final = 40.0
"""Time for an answer: a `get` has 50 s in all, and the rest is for STS."""


def _drivers(question: Question, command: Sequence[str], environ: Mapping[str, str]) -> list[Driver]:
    """Every driver, in the order in which they are tried."""
    own = [Command(tuple(command), environ)] if command and question.kind == "code" else []
    return [*own, Terminal(), Pinentry(environ), Osascript(environ), Zenity(environ)]


@dataclass(frozen=True)
class Answer:
    """The user's answer ('yes' to confirm), and the driver's name for the audit log."""

    text: str = field(repr=False)
    driver: str


def _no_turn(_seconds: float) -> AbstractContextManager[object]:
    return contextlib.nullcontext()


def ask(
    question: Question,
    *,
    command: Sequence[str] | None,
    choice: str,
    environ: Mapping[str, str],
    seconds: float = PROMPT_SECONDS,
    turn: Callable[[float], AbstractContextManager[object]] = _no_turn,
) -> Answer:
    """Prompt for the answer to a question.

    `command` is the profile's mfa_command, which only answers a 'code'. `choice` is CREDHELPER_PROMPT:
    'auto', 'none', or the only driver to use. Programs are started with `environ`. `turn` is held during the
    prompt: `FileLocks.hold`, for one prompt at a time on a terminal.

    Raises NoPromptError at once where no driver is usable, CancelledError where the user cancels, gives two
    wrong answers or none in time, and ConfigError for an unknown choice.
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
            raise CancelledError(f"no answer within {seconds:.0f} s: {question.title}") from None
    raise _no_driver(question, choice, [each.missing for each in drivers if isinstance(each, Command)])


def _ask_twice(driver: Driver, question: Question, deadline: Deadline) -> str | None:
    """The accepted answer; None if this driver cannot show the question after all."""
    for each in (question, question.again()):
        if not deadline.left():
            raise LateError
        try:
            typed = driver.ask(each, deadline.left())
        except OSError:  # it does not start, or the terminal is gone
            return None
        if typed is None:
            return None
        answer = question.accept(typed)
        if answer is not None:
            return answer
        if question.kind == "confirm":
            break
    raise CancelledError(f"the answer was not {question.wanted}: {question.title}")


def _no_driver(question: Question, choice: str, missing: Sequence[str | None]) -> NoPromptError:
    why = "no terminal has this process in its foreground, and no dialog is possible"
    if any(missing):
        why = f"'mfa_command' names no program: '{missing[0]}'"
    if choice != "auto":
        why = f"CREDHELPER_PROMPT is '{choice}'"
    return NoPromptError(f"{question.title}, and no prompt is possible", *filter(None, [question.hint, why]))
