"""pinentry: GnuPG's dialog, over Assuan (libassuan manual; pinentry manual, 'Protocol').

The Assuan libraries on PyPI either log answers or do not unescape them; this needs one line out and one back.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, ClassVar, Final, cast
from urllib.parse import quote, unquote_to_bytes

from credhelper.deadline import LateError, within
from credhelper.prompts.programs import find_dialog, started, whole_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from credhelper.prompts.question import Kind, Question

LINE_LIMIT: Final = 1000
"""Bytes of a line without its end (libassuan: ASSUAN_LINELENGTH)."""

UNESCAPED: Final = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
"""Punctuation that is not escaped: all but the escape character and line ends."""

PROMPTS: Final[dict[Kind, str]] = {"code": "MFA code:", "reason": "Reason:", "secret": "Secret:"}
"""Labels of the entry. Underscores mark accelerators there, so these are constants."""

TIMEOUT: Final = 62
CANCELLED: Final = (99, 198, 114)
"""GPG_ERR_TIMEOUT; GPG_ERR_CANCELED, _FULLY_CANCELED, _NOT_CONFIRMED: the low 16 bits of an ERR's number."""


@dataclass(frozen=True)
class Pinentry:
    """Prompts with pinentry, on a display: a pinentry for terminals would have the same terminal as tty."""

    environ: Mapping[str, str] = field(repr=False)
    name: ClassVar[str] = "pinentry"

    def is_usable(self) -> bool:
        """Whether there is a pinentry, and a display."""
        return self._program() is not None

    def _program(self) -> str | None:
        mac = find_dialog("pinentry-mac", self.environ) if sys.platform == "darwin" else None
        return mac or find_dialog(self.name, self.environ)

    def ask(self, question: Question, seconds: float) -> str | None:
        """The answer as typed. Raises CancelledError, LateError, OSError."""
        program = self._program()
        if program is None:
            return None
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with started([program], self.environ, **streams) as process:
            replies = within(seconds, lambda: _converse(process, [*_commands(question, seconds)]))
        return None if replies is None else _answer(question, *replies)


def _commands(question: Question, seconds: float) -> Iterator[str]:
    yield f"SETTIMEOUT {whole_seconds(seconds)}"
    yield f"SETTITLE {_escaped(question.heading)}"
    yield f"SETDESC {_description(question.in_a_dialog)}"
    if question.kind == "confirm":
        yield "SETOK Yes"
        yield "SETCANCEL No"
        yield "CONFIRM"
    else:
        yield f"SETPROMPT {PROMPTS[question.kind]}"
        yield "GETPIN"


def _escaped(text: str) -> str:
    return quote(text, safe=UNESCAPED)


def _description(text: str) -> str:
    """The lines of a text in one; if they do not fit, each is cut to its share."""
    limit = LINE_LIMIT - len("SETDESC ")
    if len(_escaped(text)) <= limit:
        return _escaped(text)
    lines = text.split("\n")
    return "%0A".join(_cut(line, limit // len(lines) - len("%0A")) for line in lines)


def _cut(line: str, limit: int) -> str:
    """The line, escaped and cut to the limit."""
    cuts = (line, *(line[:length] + "..." for length in range(len(line), 0, -1)))
    return next(escaped for cut in cuts if len(escaped := _escaped(cut)) <= limit)


def _converse(process: subprocess.Popen[bytes], commands: list[str]) -> tuple[bytes, bytes] | None:
    """Data and last line of the reply to the last command, ERR or not; None if pinentry has ended."""
    stdin, stdout = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    reply = _reply(stdout)  # the greeting
    for command in commands:
        if reply is None:
            return None
        stdin.write(command.encode("ascii") + b"\n")
        reply = _reply(stdout)
    return reply


def _reply(stdout: IO[bytes]) -> tuple[bytes, bytes] | None:
    data = b""
    while line := stdout.readline():
        word, _, rest = line.rstrip(b"\r\n").partition(b" ")
        if word == b"D":
            data += unquote_to_bytes(rest)
        elif word in (b"OK", b"ERR"):
            return data, line
    return None


def _answer(question: Question, data: bytes, last: bytes) -> str | None:
    if last.startswith(b"OK"):
        return "yes" if question.kind == "confirm" else data.decode("utf-8", "replace")
    number = last.split()[1] if b" " in last else b""
    code = int(number) & 0xFFFF if number.isdigit() else 0
    if code == TIMEOUT:
        raise LateError
    if code in CANCELLED:
        raise question.cancelled()
    return None  # no dialog: this may be a pinentry for terminals
