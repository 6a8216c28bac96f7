"""The JSON Schema of config.toml, generated from the table of keys, for editors.

`python -m credhelper.config.json_schema` prints config.schema.json.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from credhelper.config import aws_names
from credhelper.config import keys as config_keys
from credhelper.config.keys import API, BY_NAME, KEYS, SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from credhelper.config.keys import Key

DIALECT: Final = "http://json-schema.org/draft-07/schema#"

NO_CONTROL: Final = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*"

_FORMS: Final[dict[str, dict[str, Any]]] = {
    "text": {"type": "string"},
    "number": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "boolean or text": {"type": ["boolean", "string"]},
    "texts": {"type": "array", "items": {"type": "string"}},
    "table": {
        "type": "object",
        "propertyNames": {"minLength": 1, "maxLength": 128},
        "additionalProperties": {"type": "string", "maxLength": 256},
    },
    "tables": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in BY_NAME["provided_contexts"].members},
            "required": [*BY_NAME["provided_contexts"].members],
            "additionalProperties": False,
        },
    },
}

_BOUNDS: Final = {
    "text": ("minLength", "maxLength"),
    "boolean or text": ("minLength", "maxLength"),
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
                "description": "names for account ids: shown in the audit log, and usable as targets",
                "type": "object",
                "propertyNames": {"pattern": _whole(rf"(?!{aws_names.ACCOUNT_ID}$){config_keys.NAME}")},
                "additionalProperties": {"type": "string", "pattern": _whole(aws_names.ACCOUNT_ID)},
            },
            "defaults": _table("what profiles inherit", (key for key in KEYS if key.inherited)),
            "profiles": {
                "description": "a profile a table: [profiles.NAME]",
                "type": "object",
                "propertyNames": {"pattern": _whole(config_keys.NAME)},
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
    made: dict[str, Any] = {"description": f"{key.help} ({apis})", **_FORMS[key.form]}
    bounds = zip(_BOUNDS.get(key.form, ()), key.limits, strict=False)
    if key.form != "text" or not key.placeholders:  # else the limit is for the text after filling in
        made |= {name: limit for name, limit in bounds if limit is not None}
    if key.form in ("text", "texts") and not key.choices:
        pattern = NO_CONTROL if key.placeholders else key.pattern or NO_CONTROL
        whole = {"pattern": _whole(pattern)}
        made |= {"items": {"type": "string", **whole}} if key.form == "texts" else whole
    if key.choices:
        made["enum"] = list(key.choices)
    if key.name == "task_policy_arn":
        made["anyOf"] = [{"enum": list(aws_names.TASKS)}, {"pattern": _whole(aws_names.POLICY_ARN)}]
    return made


def _whole(pattern: str) -> str:
    r"""The pattern as JSON Schema needs it: anchored, and with the \w of its classes spelt out."""
    return f"^(?:{pattern.replace(chr(92) + 'w', 'A-Za-z0-9_')})$"


def text() -> str:
    """The text of config.schema.json."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
