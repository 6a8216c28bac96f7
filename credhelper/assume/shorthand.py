r"""The AWS CLI's shorthand for structures: `Key=Team,Value=Payments`, as its users write it.

Values are bare up to a comma (`\,` is one that belongs to them), or in single or double quotes. Lists and
structures within a structure, which the AWS CLI's grammar has too, no parameter of ours needs.
"""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = re.compile(r"\s*([A-Za-z0-9_.#/:-]+)\s*=\s*")
_VALUE: Final = re.compile(
    r"""'(?P<single>(?:\\.|[^'\\])*)'|"(?P<double>(?:\\.|[^"\\])*)"|"""
    r"""(?P<bare>(?:(?:\\,|[^"',=\s\[{])(?:\\,|[^"',\]}])*)?)""",
    re.DOTALL,
)
_COMMA: Final = re.compile(r"\s*,\s*")


def parse(text: str) -> dict[str, str]:
    """The members that the text names. Raises ValueError with what is wrong with it."""
    members: dict[str, str] = {}
    at = 0
    while True:
        name = _NAME.match(text, at)
        if name is None:
            raise ValueError(_no_name(text, at))
        if name[1] in members:
            raise ValueError(f"'{name[1]}' stands in it twice")
        at = name.end()
        if value := _VALUE.match(text, at):
            members[name[1]] = _plain(value)
            at = value.end()
        if not text[at:].strip():
            return members
        comma = _COMMA.match(text, at)
        if comma is None:
            raise ValueError(f"the value of '{name[1]}' is to be in quotes, and they have to close")
        at = comma.end()


def _no_name(text: str, at: int) -> str:
    if at == 0 or not text[at:].strip():
        return "write NAME=VALUE,NAME=VALUE"
    return "quote a value that has a comma, or write it as '\\,'"


def _plain(value: re.Match[str]) -> str:
    """The value without quotes and escapes."""
    for kind, mark in (("single", "'"), ("double", '"')):
        if value[kind] is not None:
            return re.sub(rf"\\([{mark}\\])", r"\1", value[kind])
    return value["bare"].replace("\\,", ",").rstrip()
