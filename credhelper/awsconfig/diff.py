"""What would change in a file, for people to look at before it does.

Only the lines that change are shown, and no value that credhelper did not write: the file may hold secrets,
and what is looked at stays in a scrollback.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

from credhelper.errors import printable

if TYPE_CHECKING:
    from credhelper.awsconfig.ini import IniFile

_OURS: Final = r"-(credential_process = |region = |\[|#[^=:]*$|$)"


def difference(file: IniFile, content: bytes) -> str:
    """The lines that go and the lines that come, as `diff -U0` prints them; empty where nothing changes."""
    before, after = (text.decode("utf-8", "replace").splitlines() for text in (file.text, content))
    was = file.path if file.exists else "/dev/null"
    lines = [*difflib.unified_diff(before, after, was, file.path, n=0, lineterm="")]
    shown = [*lines[:2], *map(_without_foreign_value, lines[2:])]
    return "".join(printable(line) + "\n" for line in shown)


def _without_foreign_value(line: str) -> str:
    if not line.startswith("-") or re.match(_OURS, line):
        return line
    key = re.match(r"-[^=:]*[=:]", line)
    return f"{key[0] if key else '-'} ..."
