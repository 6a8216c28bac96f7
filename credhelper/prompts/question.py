"""A question for the user: its texts, the answers it accepts, and the driver that asks it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal, Protocol

from credhelper.errors import CancelledError, printable

Kind = Literal["code", "confirm", "reason", "secret"]

CODE: Final = r"\A[0-9]{6}\Z"
"""STS's TokenCode: 6 digits (STS API reference, AssumeRole)."""

LINE_LIMIT: Final = 300
"""Characters of one line: enough for a role's ARN, and a long name leaves the rest visible."""


@dataclass(frozen=True)
class Question:
    """A question and its context, as printable ASCII: no driver gets a control character.

    `kind` is 'code' for an MFA code, 'confirm' for yes or no, 'reason' for free text, 'secret' for hidden
    text. `title` is one line; `lines` name profile, account, role and task, the waiting callers and the
    requester; `label` is the thing asked for ("MFA code of 'arn:…'"). An answer has to match `pattern`, by
    default six digits for a code. `hint` is what to do where no prompt is possible.
    """

    kind: Kind
    title: str
    lines: tuple[str, ...]
    label: str
    pattern: str | None = None
    hint: str = ""

    def __post_init__(self) -> None:
        for name, value in (
            ("title", printable(self.title, LINE_LIMIT)),
            ("lines", tuple(printable(line, LINE_LIMIT) for line in self.lines)),
            ("label", printable(self.label, LINE_LIMIT)),
        ):
            object.__setattr__(self, name, value)

    @property
    def is_hidden(self) -> bool:
        """Whether the answer must not be visible."""
        return self.kind in ("code", "secret")

    @property
    def heading(self) -> str:
        """The first line, and the title of a window."""
        return f"credhelper: {self.title}"

    @property
    def in_a_dialog(self) -> str:
        """The text of a dialog."""
        return "\n".join((self.heading, *self.lines, self.label))

    @property
    def on_a_terminal(self) -> str:
        """The text of a terminal prompt."""
        lines = (self.heading, *(f"  {line}" for line in self.lines))
        return "\n".join((*lines, self.label)) + (" [y/N] " if self.kind == "confirm" else ": ")

    @property
    def wanted(self) -> str:
        """The accepted answers, in words."""
        if self.pattern is not None:
            return f"a match of '{self.pattern}'"
        return {"code": "6 digits", "confirm": "yes"}.get(self.kind, "an answer")

    def accept(self, typed: str) -> str | None:
        """The answer; None if it is not accepted."""
        if self.kind == "confirm":
            return "yes" if typed.strip().lower() in ("y", "yes") else None
        answer = "".join(typed.split()) if self.kind == "code" else typed.strip()  # apps show '123 456'
        pattern = self.pattern or (CODE if self.kind == "code" else "")
        return answer if answer and answer.isprintable() and re.search(pattern, answer) else None

    def again(self) -> Question:
        """The question for a second attempt."""
        return replace(self, lines=(*self.lines, f"that was not {self.wanted}; try again"))

    def cancelled(self) -> CancelledError:
        """The error for a cancelled question."""
        return CancelledError(f"cancelled: {self.title}")


class Driver(Protocol):
    """A way to prompt."""

    name: ClassVar[str]

    def is_usable(self) -> bool:
        """Whether it can prompt from here; returns at once."""

    def ask(self, question: Question, seconds: float) -> str | None:
        """The answer as typed, 'yes' to confirm; None if the question could not be shown.

        Raises CancelledError, LateError, or OSError where the terminal or dialog failed.
        """
