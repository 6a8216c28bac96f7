"""What a check finds: how bad it is, one sentence, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from credhelper.errors import printable

if TYPE_CHECKING:
    from credhelper.errors import CredhelperError

Level = Literal["fine", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One answer of one check.

    'fine' needs nothing done, a 'note' is worth knowing and breaks nothing, with a 'problem' all is unfit.
    `profile` is the one that it is about, None where it is about no single one.
    """

    level: Level
    check: str
    sentence: str
    hints: tuple[str, ...] = ()
    profile: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As `--json` shows it."""
        return {
            "level": self.level,
            "check": self.check,
            "profile": self.profile,
            "sentence": printable(self.sentence),
            "hints": [printable(hint) for hint in self.hints],
        }


def fine(check: str, sentence: str, profile: str | None = None) -> Finding:
    """Nothing to do."""
    return Finding("fine", check, sentence, (), profile)


def note(check: str, sentence: str, *hints: str, profile: str | None = None) -> Finding:
    """Worth knowing; everything works."""
    return Finding("note", check, sentence, hints, profile)


def problem(check: str, sentence: str, *hints: str, profile: str | None = None) -> Finding:
    """Something does not work, or not as safely as it should."""
    return Finding("problem", check, sentence, hints, profile)


def trouble(check: str, error: CredhelperError, profile: str | None = None) -> Finding:
    """An error of the house as a problem."""
    return Finding("problem", check, error.sentence, advice(error), profile)


def advice(error: CredhelperError) -> tuple[str, ...]:
    """What to do about an error: what it says itself, or else what its kind calls for."""
    return tuple(filter(None, error.hints)) or (_WHAT_TO_DO[error.status],)


_WHAT_TO_DO: Final = {
    1: "'credhelper.log' may say more; CREDHELPER_LOG=debug makes it",
    2: "correct it there",
    3: "log in again, or replace the key, where these credentials come from",
    4: "allow it to the caller, or use another source",
    5: "run 'credhelper login NAME', which asks ahead of time",
    6: "check the network, the proxy, 'region' and 'endpoint_url'",
}
"""For errors that bring no hint, by their exit status."""
