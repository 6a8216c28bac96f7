"""zenity: a dialog for desktops with GTK (zenity(1), versions 3 and 4)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from credhelper.deadline import LateError
from credhelper.prompts.programs import find_dialog, run, whole_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from credhelper.prompts.question import Question

CANCELLED: Final = 1
LATE: Final = 5
NO_DISPLAY: Final = re.compile(rb"(cannot|failed to) open display", re.IGNORECASE)
"""GTK 3 and 4 print this when they end with the status of CANCELLED."""


@dataclass(frozen=True)
class Zenity:
    """Prompts with zenity."""

    environ: Mapping[str, str] = field(repr=False)
    name: ClassVar[str] = "zenity"

    def is_usable(self) -> bool:
        """Whether there is a zenity, and a display."""
        return find_dialog(self.name, self.environ) is not None

    def ask(self, question: Question, seconds: float) -> str | None:
        """The answer as typed. Raises CancelledError, LateError, OSError."""
        program = find_dialog(self.name, self.environ)
        if program is None:
            return None
        ran = run([program, *_options(question, seconds)], _environ(self.environ), seconds)
        if ran.status == 0:
            return "yes" if question.kind == "confirm" else ran.line
        if ran.status == LATE:
            raise LateError
        if ran.status == CANCELLED and not NO_DISPLAY.search(ran.stderr):
            raise question.cancelled()
        return None


def _options(question: Question, seconds: float) -> Iterator[str]:
    """The arguments. Texts follow '=', where none can be taken for an option."""
    yield f"--timeout={whole_seconds(seconds)}"
    yield f"--title={question.heading}"
    if question.kind == "confirm":
        yield from ("--question", "--no-markup", "--default-cancel", "--ok-label=Yes", "--cancel-label=No")
        yield f"--text={question.in_a_dialog}"
        return
    yield "--entry"  # not --password, which shows no text
    if question.is_hidden:
        yield "--hide-text"
    # Here zenity has no markup, but expands backslashes and underlines the letter after an underscore.
    yield "--text=" + question.in_a_dialog.replace("\\", "\\\\").replace("_", "__")


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without variables that change exit statuses (with ZENITY_ESC=0, Escape would confirm).

    Error messages are in English, because NO_DISPLAY has to match them.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith(("ZENITY_", "DIALOG_"))}
    return {**kept, "LANGUAGE": "C"}
