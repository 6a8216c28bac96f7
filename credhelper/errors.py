"""What can go wrong: one base, and a child for each thing a caller does differently.

The message of an error is a sentence for the user (lower case, no full stop, the subject in single
quotes); a hint says what to do about it. `status` is the exit status that the command line ends with.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast


class CredhelperError(Exception):
    """Anything that has no better class below. Exit status 1."""

    status: ClassVar[int] = 1
    sentence: str
    hints: tuple[str, ...]
    code: str | None

    def __init__(self, sentence: str, *hints: str, code: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hints = hints[:2]
        self.code = code  # AWS's own error code, where there is one: it goes into the record

    def __str__(self) -> str:
        return printable(self.sentence)  # a program prints it as it is, and AWS may have been quoted

    def to_list(self) -> list[Any]:
        """As JSON holds it, for others who wait for the same mint."""
        return [type(self).__name__, self.sentence, self.hints, self.code]

    @staticmethod
    def from_list(document: object) -> CredhelperError | None:
        """What `to_list` gave; None for anything else."""
        try:
            name, sentence, hints, code = cast("list[Any]", document)
            return _BY_NAME[name](str(sentence), *map(str, hints), code=code)
        except (TypeError, ValueError, KeyError):
            return None


class ConfigError(CredhelperError):
    """Usage or configuration: nothing was sent to AWS."""

    status = 2


class SourceError(CredhelperError):
    """No usable source credentials: profile missing, login expired, saved key absent or deactivated."""

    status = 3


class RefusedError(CredhelperError):
    """AWS received the request and said no."""

    status = 4


class CodeRejectedError(RefusedError):
    """AWS did not accept an MFA code: the next one may do."""


class HumanNeededError(CredhelperError):
    """A code, a confirmation or a reason is needed and nobody can be asked, or they cancelled."""

    status = 5


class NobodyError(HumanNeededError):
    """Nobody can be asked from here; somebody else who waits for the same may have a terminal."""


class CancelledError(HumanNeededError):
    """The person said no, gave no fitting answer or none in time: for everyone who waits."""


class UnreachableError(CredhelperError):
    """STS did not answer, is throttling, or answers with something that is not STS."""

    status = 6


BY_STATUS: dict[int, type[CredhelperError]] = {
    kind.status: kind
    for kind in (CredhelperError, ConfigError, SourceError, RefusedError, HumanNeededError, UnreachableError)
}

_BY_NAME: dict[str, type[CredhelperError]] = {
    kind.__name__: kind for kind in (*BY_STATUS.values(), CodeRejectedError, NobodyError, CancelledError)
}


def render(error: CredhelperError) -> bytes:
    """What stderr says of it: the sentence and its hints, a line each."""
    lines = [f"credhelper: error: {printable(error.sentence)}"]
    lines += [f"credhelper: hint: {printable(hint)}" for hint in error.hints if hint]
    return "".join(line + "\n" for line in lines).encode("ascii")


def lower_first(text: str) -> str:
    """`text` with a lower-case first letter, as it reads after a colon."""
    return text[:1].lower() + text[1:]


def os_reason(error: OSError) -> str:
    """The system's words for an error, as they read after a colon."""
    return lower_first(error.strerror or str(error) or "unknown error")


def printable(text: str, limit: int = 700) -> str:
    """`text` as one line of printable ASCII, at most `limit` characters.

    Sentences quote names from configuration files and answers from the network; none of them may move
    a cursor, start a line that looks like ours, or break a client that decodes our stderr.
    """
    ascii_text = text.encode("ascii", "backslashreplace").decode("ascii")
    line = "".join(
        character if character.isprintable() else f"\\x{ord(character):02x}" for character in ascii_text
    )
    return line if len(line) <= limit else line[: limit - 3] + "..."
