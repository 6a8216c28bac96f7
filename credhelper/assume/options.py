"""The AWS CLI's options for AssumeRoot and AssumeRole, read into the settings of a profile.

A value is first brought into the API's shape, such as `[{"Key": …, "Value": …}]` for tags, which is also that
of --cli-input-json; then into the form of its key in the TOML. A `request` has values in the API's shape, by
the names of their keys. Names, shapes and limits come from the table of keys.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any, Final

from credhelper.assume import yaml
from credhelper.config.keys import BY_NAME, KEYS, ROLE, ROOT, TOKEN_CODE, Key, Kind
from credhelper.config.toml import nearest
from credhelper.errors import ConfigError
from credhelper.run.accounts import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE: Final = "file://"

REQUIRED: Final = {ROOT: ("target_principal", "task_policy_arn"), ROLE: ("role_arn",)}
"""Required parameters; RoleSessionName, which the API requires too, has a default."""

SETTINGS: Final = ("source_profile", "region", "endpoint_url", "ca_bundle", "read_timeout", "connect_timeout")
"""The keys of those options that are no parameters of the API."""

FROM_STDIN: Final = "-"
"""The target that means principals from stdin."""


def keys_of(kind: Kind) -> tuple[Key, ...]:
    """The parameters of a call, with the MFA code that no profile can have."""
    found = [key for key in KEYS if key.parameter and kind in key.kinds]
    return (*found, TOKEN_CODE) if kind in TOKEN_CODE.kinds else tuple(found)


def parse(key: Key, texts: Sequence[str]) -> Any:
    """An option's value in the API's shape, from text, shorthand, JSON or a file. Raises ConfigError."""
    if len(texts) == 1:
        texts = [text_of(texts[0], key.option)]
        if key.is_list and texts[0].lstrip().startswith("["):
            return _json(texts[0], key.option)
    values = [_one(key, text) for text in texts]
    return values if key.is_list else values[0]


def _one(key: Key, text: str) -> Any:
    if key.form == "number":
        if not re.fullmatch(r"[+-]?[0-9]{1,9}", text.strip(), re.ASCII):
            raise ConfigError(f"'{key.option}' must be a whole number, not '{text}'")
        return int(text)
    if not key.members:
        return text
    if text.lstrip().startswith("{"):
        return _json(text, key.option)
    if key.members == ("arn",) and not re.match(r"\s*\w+\s*=", text):
        return {"arn": text}  # a bare ARN, or the short name of a root task
    try:
        return shorthand(text)
    except ValueError as error:
        raise ConfigError(f"'{key.option}': {error}", f"in '{text}'") from None


def text_of(text: str, option: str) -> str:
    """The text, or the content of the file that it names as `file://PATH`. Raises ConfigError."""
    if not text.startswith(FILE):
        return text
    try:
        return read_text(os.path.expandvars(os.path.expanduser(text.removeprefix(FILE))))
    except ConfigError as error:
        raise ConfigError(f"'{option}': {error.sentence}") from None


def _json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(f"'{option}' is not valid JSON") from None


def json_document(kind: Kind, text: str) -> dict[str, Any]:
    """The request in --cli-input-json. Raises ConfigError."""
    option = "--cli-input-json"
    return _document(kind, _json(text_of(text, option), option), option)


def yaml_document(kind: Kind, text: str) -> dict[str, Any]:
    """The request in --cli-input-yaml. Raises ConfigError."""
    option = "--cli-input-yaml"
    found = _document(kind, yaml.load(text_of(text, option), option), option)
    numbers = {key.name: key for key in keys_of(kind) if key.form == "number"}
    return {
        name: _one(numbers[name], value) if name in numbers and isinstance(value, str) else value
        for name, value in found.items()
    }


def _document(kind: Kind, loaded: Any, option: str) -> dict[str, Any]:
    if not isinstance(loaded, dict):
        raise ConfigError(f"'{option}' must be an object with the parameters of the call")
    known = {str(key.parameter): key.name for key in keys_of(kind)}
    for name in loaded:
        if name not in known:
            raise ConfigError(f"'{option}' has an unknown parameter '{name}'", *nearest(str(name), known))
    return {known[name]: value for name, value in loaded.items()}


def missing(kind: Kind, request: Mapping[str, Any]) -> list[Key]:
    """The required parameters that the request lacks."""
    return [BY_NAME[name] for name in REQUIRED[kind] if name not in request]


def settings(kind: Kind, request: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters in the form of the TOML; the profile checks limits. Raises ConfigError."""
    return {
        key.name: _setting(key, request[key.name])
        for key in keys_of(kind)
        if key.name in request and key is not TOKEN_CODE
    }


def _setting(key: Key, value: Any) -> Any:
    if not key.members:
        return value
    if key.is_list and not isinstance(value, list):
        raise ConfigError(f"'{key.option}' must be a list, with {' and '.join(key.members)} in each entry")
    for each in value if key.is_list else [value]:
        _check_members(key, each)
    if key.form == "table":
        return _table(key, value)
    if key.members == ("arn",):
        return [each["arn"] for each in value] if key.is_list else value["arn"]
    return value


def _check_members(key: Key, value: Any) -> None:
    """Raise ConfigError where a value is not a structure with exactly the members of the key."""
    wanted = " and ".join(key.members)
    if not isinstance(value, dict):
        raise ConfigError(f"'{key.option}' needs {wanted}{' in each entry' if key.is_list else ''}")
    for name in value:
        if name not in key.members:
            raise ConfigError(f"'{key.option}' has no member '{name}'", *nearest(str(name), key.members))
    for name in key.members:
        if name not in value:
            raise ConfigError(f"'{key.option}' lacks {name}: it needs {wanted}")


def _table(key: Key, pairs: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        name = pair[key.members[0]]
        if not isinstance(name, str):
            raise ConfigError(f"'{key.option}': a {key.members[0]} must be a string")
        if name in found:
            raise ConfigError(f"'{key.option}' has the {key.members[0]} '{name}' twice")
        found[name] = pair[key.members[1]]
    return found


def code(request: Mapping[str, Any]) -> str | None:
    """The MFA code in the request. Raises ConfigError, which does not quote it."""
    given = request.get(TOKEN_CODE.name)
    if given is not None and not (
        isinstance(given, str) and re.fullmatch(str(TOKEN_CODE.pattern), given, re.ASCII)
    ):
        raise ConfigError(f"'{TOKEN_CODE.option}' must be the 6 digits that the device shows now")
    return given


def skeleton(kind: Kind) -> dict[str, Any]:
    """A request to fill in."""
    return {str(key.parameter): _blank(key) for key in keys_of(kind)}


def _blank(key: Key) -> Any:
    value: Any = 0 if key.form == "number" else dict.fromkeys(key.members, "") if key.members else ""
    return [value] if key.is_list else value


_NAME: Final = re.compile(r"\s*([A-Za-z0-9_.#/:-]+)\s*=\s*")
_VALUE: Final = re.compile(
    r"""'(?P<single>(?:\\.|[^'\\])*)'|"(?P<double>(?:\\.|[^"\\])*)"|"""
    r"""(?P<bare>(?:(?:\\,|[^"',=\s\[{])(?:\\,|[^"',\]}])*)?)""",
    re.DOTALL,
)
_COMMA: Final = re.compile(r"\s*,\s*")


def shorthand(text: str) -> dict[str, str]:
    r"""The members in the AWS CLI's shorthand, such as `Key=Team,Value=Payments`.

    A value is quoted, or ends at a comma (`\,` is part of it). Nested lists and structures, which the AWS
    CLI has too, occur in no parameter of these calls. Raises ValueError with the problem.
    """
    members: dict[str, str] = {}
    at = 0
    while name := _NAME.match(text, at):
        if name[1] in members:
            raise ValueError(f"duplicate key '{name[1]}'")
        at = name.end()
        if value := _VALUE.match(text, at):
            members[name[1]] = _unquoted(value)
            at = value.end()
        if not text[at:].strip():
            return members
        comma = _COMMA.match(text, at)
        if comma is None:
            raise ValueError(f"put the value of '{name[1]}' in quotes, and close them")
        at = comma.end()
    if at == 0 or not text[at:].strip():
        raise ValueError("write NAME=VALUE,NAME=VALUE")
    raise ValueError("quote a value that has a comma, or write the comma as '\\,'")


def _unquoted(value: re.Match[str]) -> str:
    for kind, mark in (("single", "'"), ("double", '"')):
        if value[kind] is not None:
            return re.sub(rf"\\([{mark}\\])", r"\1", value[kind])
    return value["bare"].replace("\\,", ",").rstrip()
