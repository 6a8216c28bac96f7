"""osascript: the dialog of macOS (AppleScript Language Guide, 'display dialog').

The script is one constant. Texts reach it as arguments, so nothing in them is AppleScript.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from credhelper.deadline import LateError
from credhelper.prompts.programs import find, has_display, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from credhelper.prompts.question import Question

SCRIPT: Final = """\
on run argv
  set theTitle to item 1 of argv
  set theText to item 2 of argv
  set theSeconds to (item 3 of argv) as integer
  try
    tell me to activate
  end try
  set theReply to display dialog theText with title theTitle {form} giving up after theSeconds{hidden}
  if gave up of theReply then error number -1712
  return {result}
end run
"""
ENTRY: Final = 'default answer "" buttons {"Cancel", "OK"} default button "OK" cancel button "Cancel"'
CONFIRM: Final = 'buttons {"No", "Yes"} default button "No" cancel button "No" with icon caution'

CANCELLED: Final = b"(-128)"
LATE: Final = b"(-1712)"
"""How osascript ends the line about an error: userCanceledErr, and errAETimeout, which the script raises."""


@dataclass(frozen=True)
class Osascript:
    """Asks through a dialog of AppleScript's."""

    environ: Mapping[str, str] = field(repr=False)
    name: ClassVar[str] = "osascript"

    def is_usable(self) -> bool:
        """Whether this is a Mac with the person in front of it."""
        return sys.platform == "darwin" and has_display(self.environ) and self._program() is not None

    def _program(self) -> str | None:
        return find("osascript", self.environ)

    def ask(self, question: Question, seconds: float) -> str | None:
        """What was typed. Raises CancelledError, LateError, OSError."""
        program = self._program()
        if program is None:
            return None
        # The first operand ends the options, and the heading cannot be taken for one.
        texts = [question.heading, question.in_a_dialog, str(max(1, math.ceil(seconds)))]
        ran = run([program, "-e", _script(question), *texts], self.environ, seconds)
        if ran.status == 0:
            return ran.stdout.decode("utf-8", "replace").removesuffix("\n")
        if LATE in ran.stderr:
            raise LateError
        if CANCELLED in ran.stderr:
            raise question.cancelled()
        return None  # no user interaction allowed (-1713): nobody is logged in at the screen


def _script(question: Question) -> str:
    form, result = ENTRY, "text returned of theReply"
    if question.kind == "confirm":
        form, result = CONFIRM, '"yes"'
    hidden = " with hidden answer" if question.is_hidden else ""
    return SCRIPT.replace("{form}", form).replace("{hidden}", hidden).replace("{result}", result)
