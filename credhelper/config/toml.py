"""config.toml as a file: size, encoding, syntax, and the line of a key."""

from __future__ import annotations

import os
import re
import stat
import sys
from typing import TYPE_CHECKING, Any, Final

from credhelper.errors import ConfigError, lower_first, os_reason

if TYPE_CHECKING:
    from collections.abc import Iterable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SIZE_LIMIT: Final = 4 * 1024 * 1024

_STRING: Final = r'"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\''
_NAME: Final = rf"{_STRING}|[A-Za-z0-9_-]+"
_DOTTED: Final = rf"((?:{_STRING}|[A-Za-z0-9_. \t-])+)"
_HEADER: Final = rf"[ \t]*\[{{1,2}}{_DOTTED}\]"
_ASSIGNMENT: Final = rf"[ \t]*{_DOTTED}="
_TOKEN: Final = rf'(?s)"""(?:\\.|[^\\])*?"{{3,5}}|\'\'\'.*?\'{{3,5}}|{_STRING}|#[^\n]*'


def read(path: str) -> tuple[str, dict[str, Any]]:
    """The text of a TOML file and its content. Raises ConfigError."""
    text = _text(path)
    try:
        return text, tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"'{path}' is nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, and ValueError for huge numbers
        raise ConfigError(f"'{path}' is not valid TOML: {lower_first(str(error))}") from None


def _text(path: str) -> str:
    try:
        # Not blocking: a FIFO in place of the file must not hang.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(f"'{path}' is not a regular file")
            content = file.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        remedy = "run 'credhelper setup', which writes one to fill in"
        raise ConfigError(
            f"no configuration file '{path}'", remedy, f"'{_example()}' shows every key"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read '{path}': {os_reason(error)}") from None
    if len(content) > SIZE_LIMIT:
        raise ConfigError(f"'{path}' is larger than 4 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"'{path}' line {line}: not valid UTF-8") from None


def line_of(text: str, table: str, key: str) -> int:
    """The line that sets `key` of `table`; else the nearest one around it; else 1.

    `table` is '', a table's name or 'profiles.NAME'. TOML parsers give no positions, so the lines are parsed
    one by one. A line of nested arrays that looks like a header can mislead this.
    """
    wanted = [name for name in (*table.split(".", 1), key) if name]
    inside: list[str] = []
    found, closest = 1, 0
    for number, line in enumerate(_without_long_strings(text).split("\n"), 1):
        if header := re.match(_HEADER, line):
            path = inside = _names(header[1])
        elif assignment := re.match(_ASSIGNMENT, line):
            path = [*inside, *_names(assignment[1])]
        else:
            continue
        shared = _shared(path, wanted)
        if shared > closest:
            found, closest = number, shared
        if shared == len(wanted):
            break
    return found


def _without_long_strings(text: str) -> str:
    """The text with each multi-line string emptied; the lines keep their numbers."""
    if '"""' not in text and "'''" not in text:
        return text
    return re.sub(_TOKEN, lambda token: "\n" * token[0].count("\n") or token[0], text)


def _names(dotted: str) -> list[str]:
    """The names of a dotted key, without their quotes."""
    return [
        name if name[0] not in "'\"" else tomllib.loads(f"name = {name}")["name"]
        for name in re.findall(_NAME, dotted)
    ]


def _shared(path: list[str], wanted: list[str]) -> int:
    """The number of names at the start that two paths share."""
    return next(
        (index for index, pair in enumerate(zip(path, wanted, strict=False)) if pair[0] != pair[1]),
        min(len(path), len(wanted)),
    )


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """A hint that names what was probably meant, if anything comes close."""
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return tuple(f"did you mean '{match}'" for match in close)


def _example() -> str:
    """The example file: in the package when installed, at the root of a checkout."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    places = [os.path.join(place, "config.example.toml") for place in (here, os.path.dirname(here))]
    return next((place for place in places if os.path.exists(place)), "config.example.toml")
