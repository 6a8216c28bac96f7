"""zenity: a dialog for desktops with GTK (zenity(1), versions 3 and 4)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from credhelper.deadline import LateError
from credhelper.prompts.programs import find, has_display, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from credhelper.prompts.question import Question

CANCELLED: Final = 1
LATE: Final = 5
NO_DISPLAY: Final = re.compile(rb"(cannot|failed to) open display", re.IGNORECASE)
"""What GTK 3 and 4 say when they end with the same status as a person who cancels."""


@dataclass(frozen=True)
class Zenity:
    """Asks through zenity."""

    environ: Mapping[str, str] = field(repr=False)
    name: ClassVar[str] = "zenity"

    def is_usable(self) -> bool:
        """Whether there is a zenity, and a display to show it on."""
        return has_display(self.environ) and self._program() is not None

    def _program(self) -> str | None:
        return find("zenity", self.environ)

    def ask(self, question: Question, seconds: float) -> str | None:
        """What was typed. Raises CancelledError, LateError, OSError."""
        program = self._program()
        if program is None:
            return None
        ran = run([program, *_options(question, seconds)], _environ(self.environ), seconds)
        if ran.status == 0:
            return "yes" if question.kind == "confirm" else _line(ran.stdout)
        if ran.status == LATE:
            raise LateError
        if ran.status == CANCELLED and not NO_DISPLAY.search(ran.stderr):
            raise question.cancelled()
        return None


def _line(printed: bytes) -> str:
    return printed.decode("utf-8", "replace").removesuffix("\n")


def _options(question: Question, seconds: float) -> Iterator[str]:
    """Texts stand behind '=': as words of their own they might be taken for options."""
    # Should we be killed, the dialog goes by itself.
    yield f"--timeout={max(1, math.ceil(seconds))}"
    yield f"--title={question.heading}"
    if question.kind == "confirm":
        yield from ("--question", "--no-markup", "--default-cancel", "--ok-label=Yes", "--cancel-label=No")
        yield f"--text={question.in_a_dialog}"
        return
    yield "--entry"  # not --password, which shows no text
    if question.is_hidden:
        yield "--hide-text"
    # Here zenity knows no markup, but expands backslashes and underlines what follows an underscore.
    yield "--text=" + question.in_a_dialog.replace("\\", "\\\\").replace("_", "__")


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    """What zenity must not take from the environment.

    Variables can change what it ends with: with ZENITY_ESC=0, Escape would be a yes. And its complaints are
    read here, so they have to be in English.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith(("ZENITY_", "DIALOG_"))}
    return {**kept, "LANGUAGE": "C"}
