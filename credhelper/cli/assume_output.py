"""The responses of AssumeRoot and AssumeRole in the output formats of the AWS CLI.

`json`, `yaml`, `yaml-stream` and `text` are as in the AWS CLI. Expiration ends with `Z` as in its version 1;
version 2 writes `+00:00`. A `table` is laid out differently.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from credhelper.assume import yaml
from credhelper.config.keys import ROLE, ROOT
from credhelper.credentials import utc
from credhelper.errors import ConfigError, CredhelperError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.config.keys import Kind
    from credhelper.credentials import Credentials

FORMS: Final = ("response", "json", "yaml", "yaml-stream", "text", "table")
"""The values of --output; `response` is the same as `json`."""

_SECRETS: Final = {
    "Credentials": {
        "AccessKeyId": "AccessKeyId",
        "SecretAccessKey": "SecretAccessKey",
        "SessionToken": "SessionToken",
        "Expiration": "1970-01-01T00:00:00Z",
    }
}
_TOKEN: Final = {"SessionTokenSize": 0, "SessionTokenUtilization": 0}
SAMPLES: Final[dict[Kind, dict[str, Any]]] = {
    ROOT: {**_SECRETS, "SourceIdentity": "SourceIdentity", **_TOKEN},
    ROLE: {
        **_SECRETS,
        "AssumedRoleUser": {"AssumedRoleId": "AssumedRoleId", "Arn": "Arn"},
        "PackedPolicySize": 0,
        "SourceIdentity": "SourceIdentity",
        **_TOKEN,
    },
}
"""A sample of each response, with names of members as values."""


def of(credentials: Credentials) -> dict[str, Any]:
    """The response of STS that the credentials came from."""
    secrets = {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "SessionToken": credentials.session_token,
        "Expiration": utc(credentials.expiration),
    }
    return {"Credentials": secrets, **credentials.answer}


class Query:
    """A JMESPath expression, tried on a sample response before AWS is called.

    Raises ConfigError if it is invalid, or selects what cannot be printed. All errors of jmespath are
    ValueErrors.
    """

    def __init__(self, text: str, kind: Kind) -> None:
        import jmespath

        try:
            self._expression = jmespath.compile(text)
            _check_printable(self._expression.search(SAMPLES[kind]))
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"'--query' cannot be used: {_one_line(error)}") from None

    def of(self, document: Any) -> Any:
        """What the expression selects. Raises CredhelperError, without jmespath's text: it has secrets."""
        try:
            found = self._expression.search(document)
            _check_printable(found)
        except (ValueError, RecursionError):
            raise CredhelperError("'--query' does not fit what STS has answered") from None
        return found


def _check_printable(found: Any) -> None:
    """Raise ValueError for what JSON cannot represent: an expression (`&a`), or an infinite number."""
    try:
        json.dumps(found, allow_nan=False)
    except TypeError:
        raise ValueError("it finds an expression, not a value") from None
    except ValueError:
        raise ValueError("it finds a number that is not finite") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def rendered(value: Any, form: str, *, color: bool | None = None) -> bytes:
    """A response, or a part of one, in one of FORMS. Raises ConfigError."""
    if form == "text":
        return "".join(line + "\n" for line in _text(value)).encode()
    if form == "table":
        return _table(value, color=color).encode()
    if form == "yaml-stream":
        return yaml.dump([value]).encode()
    if form == "yaml" and isinstance(value, (dict, list)):
        return yaml.dump(value).encode()
    return json.dumps(value, indent=4).encode() + b"\n"


def _text(value: Any, name: str = "", columns: list[str] | None = None) -> Iterator[str]:
    """The lines of the format `text`: scalars in the order of their names, then nested structures."""
    if isinstance(value, dict):
        keys = sorted(key for key in value if not _is_nested(value[key])) if columns is None else columns
        if keys:
            cells = [_cell(value.get(key, "")) for key in keys]
            yield "\t".join([*([name.upper()] if name else []), *cells])
        for key in sorted(key for key in value if key not in keys):
            yield from _text(value[key], key)
    elif isinstance(value, list):
        yield from _text_of_list(value, name)
    else:
        yield _cell(value)


def _text_of_list(items: list[Any], name: str) -> Iterator[str]:
    if any(isinstance(item, dict) for item in items):
        dicts = [item for item in items if isinstance(item, dict)]
        columns = sorted({key for item in dicts for key in item if not _is_nested(item[key])})
        for item in items:
            yield from _text(item, name, columns)
        return
    scalars = [_cell(item) for item in items if not _is_nested(item)]
    if scalars:
        yield from ([f"{name.upper()}\t{each}" for each in scalars] if name else ["\t".join(scalars)])
    for item in items:
        if _is_nested(item):
            yield from _text(item, name)


def _is_nested(value: Any) -> bool:
    return isinstance(value, (dict, list))


def _cell(value: Any) -> str:
    """A value as the AWS CLI writes it, with control characters escaped; never cut off."""
    text = str(value)
    return printable(text, 8 * len(text) + 8)


def _table(value: Any, *, color: bool | None) -> str:
    from credhelper.cli import tables

    rows = [tables.Row((path or "-", _cell(each))) for path, each in _flat(value, "")]
    longest = max((len(str(cell)) for row in rows for cell in row.cells), default=0)
    return tables.render({"name": None, "value": None}, rows, longest=longest, color=color)


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every scalar with its path, as JMESPath."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _flat(each, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _flat(each, f"{path}[{index}]")
    else:
        yield path, value
