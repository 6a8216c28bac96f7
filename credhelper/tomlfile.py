"""The configuration file before it means anything: size, encoding, syntax, and where a key stands."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Any, Final

from credhelper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SIZE_LIMIT: Final = 4 * 1024 * 1024


def read(path: str) -> tuple[str, dict[str, Any]]:
    """The text of a TOML file and what it says. Raises ConfigError."""
    text = _text(path)
    try:
        return text, tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"'{path}' is nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, and what the parser lets through, such as huge numbers
        raise ConfigError(f"'{path}' is not valid TOML: {lower_first(str(error))}") from None


def _text(path: str) -> str:
    try:
        # Not blocking: a FIFO in place of the file must not hang an SDK.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(f"'{path}' is not a regular file")
            content = file.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        hint = "write one: config.example.toml, which comes with credhelper, shows every key"
        raise ConfigError(f"no configuration file '{path}'", hint) from None
    except OSError as error:
        raise ConfigError(f"cannot read '{path}': {lower_first(error.strerror or 'unknown error')}") from None
    if len(content) > SIZE_LIMIT:
        raise ConfigError(f"'{path}' is larger than 4 MiB")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"'{path}' line {line}: not valid UTF-8") from None


def line_of(text: str, table: str, key: str) -> int:
    """The line on which `key` of `table` is set, or the table's own, or 1.

    TOML parsers give no positions, so each line is looked at by itself, with the parser's own idea of
    what a header and a key are. A look-alike inside a multi-line string of the same table can mislead it.
    """
    wanted = ".".join(filter(None, (table, key)))
    current: list[str] = []
    found = 1
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.lstrip()
        if stripped.startswith("["):
            current = _keys_of(stripped)
            if ".".join(current) == wanted:
                return number
            if ".".join(current) == table:
                found = number
        elif "=" in stripped and ".".join([*current, *_keys_of(stripped.split("=", 1)[0] + "= 0")]) == wanted:
            return number
    return found


def _keys_of(line: str) -> list[str]:
    """The dotted key that a header or assignment line names."""
    try:
        node: Any = tomllib.loads(line)
    except (ValueError, RecursionError):
        return []
    keys = []
    while isinstance(node, (dict, list)) and node:
        if isinstance(node, list):
            node = node[0]
            continue
        name, node = next(iter(node.items()))
        keys.append(name)
    return keys


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """A hint that names what was probably meant, if anything comes close."""
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return tuple(f"did you mean '{match}'" for match in close)


def lower_first(text: str) -> str:
    """A library's message as part of a sentence of ours."""
    return text[:1].lower() + text[1:]
