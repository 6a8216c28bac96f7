"""osascript: the dialog of macOS (AppleScript Language Guide, 'display dialog').

The script is constant. Texts reach it as arguments, so nothing in them is AppleScript.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from credhelper.deadline import LateError
from credhelper.prompts.programs import find_dialog, run, whole_seconds

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
"""The end of osascript's error messages: userCanceledErr, and errAETimeout, which the script raises."""


@dataclass(frozen=True)
class Osascript:
    """Prompts with a dialog of AppleScript."""

    environ: Mapping[str, str] = field(repr=False)
    name: ClassVar[str] = "osascript"

    def is_usable(self) -> bool:
        """Whether this is a Mac, not in an SSH session."""
        return sys.platform == "darwin" and find_dialog(self.name, self.environ) is not None

    def ask(self, question: Question, seconds: float) -> str | None:
        """The answer as typed. Raises CancelledError, LateError, OSError."""
        program = find_dialog(self.name, self.environ)
        if program is None:
            return None
        # The first operand ends the options, and the heading cannot be taken for one.
        texts = [question.heading, question.in_a_dialog, str(whole_seconds(seconds))]
        ran = run([program, "-e", _script(question), *texts], self.environ, seconds)
        if ran.status == 0:
            return ran.line
        if LATE in ran.stderr:
            raise LateError
        if CANCELLED in ran.stderr:
            raise question.cancelled()
        return None  # no user interaction allowed (-1713): no user is logged in at the screen


def _script(question: Question) -> str:
    form, result = ENTRY, "text returned of theReply"
    if question.kind == "confirm":
        form, result = CONFIRM, '"yes"'
    hidden = " with hidden answer" if question.is_hidden else ""
    return SCRIPT.replace("{form}", form).replace("{hidden}", hidden).replace("{result}", result)
