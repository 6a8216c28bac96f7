"""Errors: one base class, and a subclass wherever a caller acts differently.

An error is a sentence for the user (lower case, no full stop, values in single quotes) and hints, which tell
what to do. `status` is the exit status of the command.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar, cast


class CredhelperError(Exception):
    """The base class, and any error without a class of its own."""

    status: ClassVar[int] = 1
    is_own: ClassVar[bool] = False
    """Whether it is about this caller alone: another caller that waits for the same session may succeed."""
    sentence: str
    hints: tuple[str, ...]
    code: str | None

    def __init__(self, sentence: str, *hints: str, code: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hints = hints[:2]
        self.code = code  # AWS's own error code, where there is one: it goes into the record

    def __str__(self) -> str:
        return printable(self.sentence)  # it may quote AWS, and programs print it as it is

    def to_list(self) -> list[Any]:
        """As JSON, for the callers that wait for the same mint."""
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
    """AWS refused the request."""

    status = 4


class CodeRejectedError(RefusedError):
    """AWS did not accept an MFA code; the next one may work."""


class InteractionError(CredhelperError):
    """A code, a confirmation or a reason is needed and cannot be asked for, or the user cancelled."""

    status = 5
    is_own = True


class NoPromptError(InteractionError):
    """This process cannot prompt; another one that waits for the same session may have a terminal."""


class CancelledError(InteractionError):
    """The user declined, or gave no valid answer in time: this holds for every caller that waits."""

    is_own = False


class UnreachableError(CredhelperError):
    """STS did not answer, throttles, or the answer is not from STS."""

    status = 6


class OutOfTimeError(UnreachableError):
    """This command has used up its time before the request could be sent."""

    is_own = True


BY_STATUS: dict[int, type[CredhelperError]] = {
    kind.status: kind
    for kind in (CredhelperError, ConfigError, SourceError, RefusedError, InteractionError, UnreachableError)
}

_BY_NAME: dict[str, type[CredhelperError]] = {
    kind.__name__: kind for kind in (*BY_STATUS.values(), CodeRejectedError, NoPromptError, CancelledError)
}


def render(error: CredhelperError) -> bytes:
    """The error as stderr shows it: the sentence and its hints, a line each."""
    lines = [f"credhelper: error: {printable(error.sentence)}"]
    lines += [f"credhelper: hint: {printable(hint)}" for hint in error.hints if hint]
    return "".join(line + "\n" for line in lines).encode("ascii")


def place_of(error: Exception) -> str:
    """The type and the line of an unforeseen error, and not its message, which may quote a secret."""
    import traceback

    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {os.path.basename(frame.filename)} line {frame.lineno}"


def lower_first(text: str) -> str:
    """`text` with a lower-case first letter, as it reads after a colon."""
    return text[:1].lower() + text[1:]


def os_reason(error: OSError) -> str:
    """The system's words for an error, as they read after a colon."""
    return lower_first(error.strerror or str(error) or "unknown error")


def printable(text: str, limit: int = 700) -> str:
    """`text` as one line of printable ASCII, at most `limit` characters.

    Sentences quote names from configuration files and answers from the network; none of them may move
    a cursor, start a line that looks like credhelper's, or break a client that decodes stderr.
    """
    ascii_text = text.encode("ascii", "backslashreplace").decode("ascii")
    line = "".join(
        character if character.isprintable() else f"\\x{ord(character):02x}" for character in ascii_text
    )
    return line if len(line) <= limit else line[: limit - 3] + "..."
