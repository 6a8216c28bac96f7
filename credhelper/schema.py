"""The JSON Schema of config.toml, made from the same table that the program reads it with.

Editors that know JSON Schema complete and check the file with it. It is shipped as config.schema.json;
`python -m credhelper.schema` prints it anew.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from credhelper import vocabulary
from credhelper.vocabulary import API, KEYS, SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from credhelper.vocabulary import Key

DIALECT: Final = "http://json-schema.org/draft-07/schema#"

_FORMS: Final[dict[str, dict[str, Any]]] = {
    "text": {"type": "string"},
    "number": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "boolean or text": {"type": ["boolean", "string"]},
    "texts": {"type": "array", "items": {"type": "string"}},
    "table": {"type": "object", "additionalProperties": {"type": "string"}},
    "tables": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"ProviderArn": {"type": "string"}, "ContextAssertion": {"type": "string"}},
            "required": ["ProviderArn", "ContextAssertion"],
            "additionalProperties": False,
        },
    },
}

_BOUNDS: Final = {
    "text": ("minLength", "maxLength"),
    "number": ("minimum", "maximum"),
    "texts": ("minItems", "maxItems"),
    "table": ("minProperties", "maxProperties"),
    "tables": ("minItems", "maxItems"),
}


def schema() -> dict[str, Any]:
    """The schema of the whole file."""
    return {
        "$schema": DIALECT,
        "title": "credhelper's config.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "accounts": {
                "description": "names for account ids: shown in the record, and usable as targets",
                "type": "object",
                "propertyNames": {"pattern": _whole(vocabulary.NAME)},
                "additionalProperties": {"type": "string", "pattern": _whole(vocabulary.ACCOUNT_ID)},
            },
            "defaults": _table("what profiles inherit", (key for key in KEYS if key.inherited)),
            "profiles": {
                "description": "a profile a table: [profiles.NAME]",
                "type": "object",
                "propertyNames": {"pattern": _whole(vocabulary.NAME)},
                "additionalProperties": _table("AssumeRoot, AssumeRole or GetSessionToken", KEYS),
            },
            **{name: _table(f"the [{name}] table", keys) for name, keys in SECTIONS.items()},
        },
    }


def _table(description: str, keys: Iterable[Key]) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "additionalProperties": False,
        "properties": {key.name: _property(key) for key in keys},
    }


def _property(key: Key) -> dict[str, Any]:
    apis = ", ".join(API[kind] for kind in key.kinds)
    made: dict[str, Any] = {"description": f"{key.meaning} ({apis})", **_FORMS[key.form]}
    bounds = zip(_BOUNDS.get(key.form, ()), (key.low, key.high), strict=False)
    made |= {name: limit for name, limit in bounds if limit is not None and not key.placeholders}
    if key.pattern and not key.placeholders:
        pattern = {"pattern": _whole(key.pattern)}
        made |= {"items": {"type": "string", **pattern}} if key.form == "texts" else pattern
    if key.choices:
        made["enum"] = list(key.choices)
    return made


def _whole(pattern: str) -> str:
    r"""The pattern as JSON Schema needs it: anchored, and with \w spelt out, which there is Unicode's."""
    return f"^(?:{pattern.replace(chr(92) + 'w', 'A-Za-z0-9_')})$"


def text() -> str:
    """The schema as it is shipped."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
