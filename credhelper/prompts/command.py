"""mfa_command: the user's program that prints the code, from a token or a password manager."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from credhelper.deadline import LateError
from credhelper.errors import CancelledError, os_reason
from credhelper.prompts.programs import LIMIT, Ran, find, run

if sys.platform == "win32":
    from credhelper.prompts.console import lent
else:
    from credhelper.prompts.tty import lent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from credhelper.prompts.question import Question

CODES: Final = re.compile(rb"(?<![0-9])[0-9]{6}(?![0-9])")


@dataclass(frozen=True)
class Command:
    """Runs it with the terminal as stdin and stderr, so that it may ask for a touch or a passphrase.

    It runs in a session of its own, to be ended with its children; so it has no `/dev/tty`.
    """

    argv: tuple[str, ...] = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    name: ClassVar[str] = "command"

    def is_usable(self) -> bool:
        """Whether there is such a program."""
        return self.missing is None

    @property
    def missing(self) -> str | None:
        """Its name, if there is no such program."""
        return self.argv[0] if find(self.argv[0], self.environ) is None else None

    def ask(self, question: Question, seconds: float) -> str | None:  # noqa: ARG002 - the program shows its own
        """The code that it prints. Raises CancelledError, which never quotes the output."""
        program = find(self.argv[0], self.environ)
        if program is None:
            return None
        try:
            with lent() as (stdin, stderr):
                argv = [program, *self.argv[1:]]
                ran = run(argv, self.environ, seconds, stdin=stdin, stderr=stderr)
        except LateError:
            raise self._failed(f"printed no code within {seconds:.0f} s") from None
        except OSError as error:
            raise self._failed(f"cannot be started: {os_reason(error)}") from None
        return self._code(ran)

    def _code(self, ran: Ran) -> str:
        if len(ran.stdout) > LIMIT:
            raise self._failed(f"printed more than {LIMIT} bytes, which is no code")
        if ran.status < 0:
            raise self._failed(f"was ended by signal {-ran.status}")
        if ran.status > 0:
            raise self._failed(f"ended with exit status {ran.status}")
        codes = set(CODES.findall(ran.stdout))
        if len(codes) != 1:
            raise self._failed("printed more than one code" if codes else "printed no code of 6 digits")
        return str(codes.pop(), "ascii")

    def _failed(self, what: str) -> CancelledError:
        return CancelledError(f"mfa_command '{self.argv[0]}' {what}", "run it by hand to see its output")
