"""The formats of `env`: assignments that a shell, or the reader of an env file, reads back unchanged.

The output is pasted, evaluated and sourced: no part of a value may be taken for anything else. A value that a
format cannot carry safely is an error.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class _Form:
    """How to write an assignment, and patterns that no value may have, by their names in messages."""

    line: Callable[[str, str], str]
    refused: Mapping[str, str]


def _sh(name: str, value: str) -> str:
    """For POSIX shells and zsh. Always quoted: zsh expands a bare `=ls` to a path."""
    return f"export {name}='" + value.replace("'", "'\\''") + "'"


def _fish(name: str, value: str) -> str:
    """On one line, because `eval (...)` joins lines; `;`, because it then joins statements."""
    text = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {name} '" + _CONTROL.sub(lambda found: f"'\\u{ord(found[0]):04x}'", text) + "';"


def _powershell(name: str, value: str) -> str:
    """On one line, because `| Invoke-Expression` runs each line by itself.

    PowerShell takes any typographic single quote for the end of a string (about_Quoting_Rules).
    """
    text = re.sub("['\u2018-\u201b]", lambda found: found[0] * 2, value)
    return f"$env:{name} = '" + _CONTROL.sub(lambda found: f"' + [char]{ord(found[0])} + '", text) + "'"


def _cmd(name: str, value: str) -> str:
    """The quotes around both keep & | < > ( ) ^ and blanks from cmd."""
    return f'set "{name}={value}"'


def _dotenv(name: str, value: str) -> str:
    return f"{name}='{value}'"


def _docker(name: str, value: str) -> str:
    return f"{name}={value}"


_CONTROL: Final = re.compile("[\x01-\x1f\x7f-\x9f]")
_LINE_BREAK: Final = {"a line break": "[\r\n]"}
_OTHER_CONTROL: Final = {"a control character": "[\x01-\x09\x0b-\x1f\x7f-\x9f]"}
"""A terminal into which it is pasted acts on it, quoted or not."""

_NEVER: Final = {"a NUL": "\0", "a broken character": "[\ud800-\udfff]"}

_FORMS: Final[Mapping[str, _Form]] = {
    "sh": _Form(_sh, _OTHER_CONTROL),
    "fish": _Form(_fish, {"a character that fish keeps for itself": "[\uf600-\uf7ff\ufdd0-\ufdef]"}),
    "powershell": _Form(_powershell, {}),
    "cmd": _Form(
        _cmd,
        {
            **_LINE_BREAK,
            **_OTHER_CONTROL,
            # A prompt and a batch file expand %NAME% differently, and neither has an escape for both; with
            # delayed expansion on, the same goes for !NAME!. A code page may swallow the quote after others.
            'one of " % !': '["%!]',
            "a character beyond ASCII": "[^\x00-\x7f]",
        },
    ),
    # What python-dotenv, Node's dotenv, Compose and a shell's `.` agree on: they differ in what a backslash
    # does between single quotes, and python-dotenv expands ${NAME} even there.
    "dotenv": _Form(_dotenv, {**_OTHER_CONTROL, "one of ' \\ $": "['\\\\$]"}),
    # `docker run --env-file` takes the rest of the line as it is: no quotes, no escapes.
    "docker": _Form(_docker, {**_LINE_BREAK, **_OTHER_CONTROL}),
}

FORMS: Final = (*_FORMS, "json")
"""The values of `--format`."""

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def render(assignments: Mapping[str, str], form: str) -> str:
    """The assignments in one of FORMS, one a line; `json` is one object on one line.

    `dotenv` is the subset on which the readers of such files agree. Raises ConfigError for a value that the
    form cannot carry, without quoting it.
    """
    if form not in FORMS:
        raise ConfigError(f"'{form}' is not a format", f"one of {', '.join(FORMS)}")
    refused = {**_NEVER, **(_FORMS[form].refused if form in _FORMS else {})}
    for name, value in assignments.items():
        if not NAME.fullmatch(name):
            raise ConfigError(f"'{name}' is not a name for an environment variable")
        for what, pattern in refused.items():
            if re.search(pattern, value):
                raise _cannot_carry(name, what, form)
    if form == "json":
        return json.dumps(dict(assignments)) + "\n"
    return "".join(_FORMS[form].line(name, value) + "\n" for name, value in assignments.items())


def _cannot_carry(name: str, what: str, form: str) -> ConfigError:
    hints = () if what in _NEVER else ("--format json carries every value",)
    return ConfigError(f"the value of '{name}' has {what}, which '{form}' cannot carry safely", *hints)
