"""A question for the person at the keyboard: its texts, what answers it, and how asking can fail."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal, Protocol

from credhelper.errors import CancelledError, printable

Kind = Literal["code", "confirm", "reason", "secret"]

CODE: Final = r"\A[0-9]{6}\Z"
"""What AWS takes as TokenCode: 6 digits (STS API reference, AssumeRole)."""

LINE_LIMIT: Final = 300
"""Characters of one line: room for a role's ARN, and a hostile name does not push the rest out of sight."""


@dataclass(frozen=True)
class Question:
    """What is asked, and what the person has to know to answer it.

    `kind` is 'code' for an MFA code, 'confirm' for yes or no, 'reason' for free text, 'secret' for hidden
    text. `title` is one line; `lines` say which profile, account, role and task, how many callers wait and
    which program asks; `label` is what is asked for ("MFA code of 'arn:…'"). An answer has to match
    `pattern`, by default six digits for a code. `hint` is what to do where there is no way to prompt.

    Whatever the texts are made of, no driver sees a control character: they become printable ASCII here.
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
        """Whether what is typed must not be seen."""
        return self.kind in ("code", "secret")

    @property
    def heading(self) -> str:
        """The first line, which also says whose question it is: the title of a window."""
        return f"credhelper: {self.title}"

    @property
    def in_a_dialog(self) -> str:
        """Everything, as a dialog shows it."""
        return "\n".join((self.heading, *self.lines, self.label))

    @property
    def on_a_terminal(self) -> str:
        """Everything, up to where the answer is typed."""
        lines = (self.heading, *(f"  {line}" for line in self.lines))
        return "\n".join((*lines, self.label)) + (" [y/N] " if self.kind == "confirm" else ": ")

    @property
    def wanted(self) -> str:
        """What would be an answer, in words."""
        if self.pattern is not None:
            return f"a match of '{self.pattern}'"
        return {"code": "6 digits", "confirm": "yes"}.get(self.kind, "an answer")

    def accept(self, typed: str) -> str | None:
        """What was typed, as it is used; None where it is no answer."""
        if self.kind == "confirm":
            return "yes" if typed.strip().lower() in ("y", "yes") else None
        answer = "".join(typed.split()) if self.kind == "code" else typed.strip()  # apps show '123 456'
        pattern = self.pattern or (CODE if self.kind == "code" else "")
        return answer if answer and answer.isprintable() and re.search(pattern, answer) else None

    def again(self) -> Question:
        """The same question, after something that was no answer."""
        return replace(self, lines=(*self.lines, f"that was not {self.wanted}; once more, please"))

    def cancelled(self) -> CancelledError:
        """The error for a person who does not want to answer."""
        return CancelledError(f"cancelled: {self.title}")


class Driver(Protocol):
    """A way of asking."""

    name: ClassVar[str]

    def is_usable(self) -> bool:
        """Whether it could reach a person from here; answers at once."""

    def ask(self, question: Question, seconds: float) -> str | None:
        """What the person typed, 'yes' to confirm; None where the question could not be shown.

        Raises CancelledError, LateError, or OSError where the way to the person broke.
        """
