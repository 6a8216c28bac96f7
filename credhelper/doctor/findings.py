"""Findings: a level, a sentence, and hints how to fix it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from credhelper.errors import printable

if TYPE_CHECKING:
    from credhelper.errors import CredhelperError

Level = Literal["fine", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One result of a check. A 'note' is worth knowing and breaks nothing; `profile` is None for all."""

    level: Level
    check: str
    sentence: str
    hints: tuple[str, ...] = ()
    profile: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The finding as `doctor --json` prints it."""
        return {
            "level": self.level,
            "check": self.check,
            "profile": self.profile,
            "sentence": printable(self.sentence),
            "hints": [printable(hint) for hint in self.hints],
        }


def fine(check: str, sentence: str, profile: str | None = None) -> Finding:
    """Everything works."""
    return Finding("fine", check, sentence, (), profile)


def note(check: str, sentence: str, *hints: str, profile: str | None = None) -> Finding:
    """Worth knowing, although everything works."""
    return Finding("note", check, sentence, hints, profile)


def problem(check: str, sentence: str, *hints: str, profile: str | None = None) -> Finding:
    """Something does not work, or is not safe."""
    return Finding("problem", check, sentence, hints, profile)


def from_error(check: str, error: CredhelperError, profile: str | None = None) -> Finding:
    """An error as a problem."""
    return Finding("problem", check, error.sentence, hints_for(error), profile)


def hints_for(error: CredhelperError) -> tuple[str, ...]:
    """The hints of an error, or a general one."""
    return tuple(filter(None, error.hints)) or (_GENERAL_HINTS[error.status],)


_GENERAL_HINTS: Final = {
    1: "see credhelper.log; CREDHELPER_LOG=debug adds details to it",
    2: "correct it there",
    3: "log in again, or replace the access key of the source",
    4: "allow it to the caller, or use another source",
    5: "run 'credhelper login NAME' to answer the prompts now",
    6: "check the network, the proxy, 'region' and 'endpoint_url'",
}
"""Hints for errors that have none, by exit status."""
