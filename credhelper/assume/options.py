"""The AWS CLI's options for AssumeRoot and AssumeRole, as what a profile says.

A value is first brought into the API's shape (tags as `[{"Key": …, "Value": …}]`), which is also that of
--cli-input-json, and from there into the form that its key has in the TOML. Names, shapes and limits are
those of the table of keys. A `request` has the values of the first kind, by the names of their keys.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any, Final

from credhelper.assume import shorthand, yaml
from credhelper.config.keys import BY_NAME, KEYS, ROLE, ROOT, TOKEN_CODE, Key, Kind
from credhelper.config.toml import nearest
from credhelper.errors import ConfigError, os_reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE: Final = "file://"
FILE_LIMIT: Final = 1024 * 1024

REQUIRED: Final = {ROOT: ("target_principal", "task_policy_arn"), ROLE: ("role_arn",)}
"""What has to be said; RoleSessionName, which the API requires too, has a default."""

SETTINGS: Final = ("source_profile", "region", "endpoint_url", "ca_bundle", "read_timeout", "connect_timeout")
"""The keys behind the AWS CLI's options that are no parameters of a call."""

FROM_STDIN: Final = "-"
"""The target that stands for principals on stdin, one a line."""


def keys_of(kind: Kind) -> tuple[Key, ...]:
    """The parameters of a call, with the MFA code that no profile can have."""
    found = [key for key in KEYS if key.parameter and kind in key.kinds]
    return (*found, TOKEN_CODE) if kind in TOKEN_CODE.kinds else tuple(found)


def said(key: Key, texts: Sequence[str]) -> Any:
    """The value of an option, in the API's shape: texts, shorthand, JSON, or a file with one of them.

    Raises ConfigError.
    """
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
        return shorthand.parse(text)
    except ValueError as error:
        raise ConfigError(f"'{key.option}': {error}", f"in '{text}'") from None


def text_of(text: str, option: str) -> str:
    """The text, or what is in the file that it names as `file://PATH`. Raises ConfigError."""
    if not text.startswith(FILE):
        return text
    path = os.path.expandvars(os.path.expanduser(text.removeprefix(FILE)))
    try:
        with open(path, "rb") as file:
            content = file.read(FILE_LIMIT + 1)
        if len(content) > FILE_LIMIT:
            raise ConfigError(f"'{option}': '{path}' is larger than 1 MiB")
        return content.decode()
    except OSError as error:
        raise ConfigError(f"'{option}': cannot read '{path}': {os_reason(error)}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"'{option}': '{path}' is not valid UTF-8") from None


def _json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(f"'{option}' is not valid JSON") from None


def json_document(kind: Kind, text: str) -> dict[str, Any]:
    """The value of --cli-input-json, by the names of the keys. Raises ConfigError."""
    option = "--cli-input-json"
    return _document(kind, _json(text_of(text, option), option), option)


def yaml_document(kind: Kind, text: str) -> dict[str, Any]:
    """The value of --cli-input-yaml, the same way; an account id in it is no number. Raises ConfigError."""
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
    """The parameters that have to be said and are not."""
    return [BY_NAME[name] for name in REQUIRED[kind] if name not in request]


def settings(kind: Kind, request: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters in the form that their keys have in the TOML; limits are for the profile to check.

    Raises ConfigError.
    """
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
    """Raise ConfigError where a structure is none, or has other members than it should."""
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
    """The MFA code that was given. Raises ConfigError, which does not quote it."""
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
