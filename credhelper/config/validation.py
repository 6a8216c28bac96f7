"""The check of one value against the table of keys.

Every function returns None for a valid value, else the end of a sentence that begins with the key's name. The
origin of the value (a TOML file, a flag, the AWS config) plays no part.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from credhelper.config import keys, sts_model
from credhelper.config.aws_names import POLICY_ARN, TASKS, short_task
from credhelper.config.toml import nearest

if TYPE_CHECKING:
    from credhelper.config.keys import Key, Kind

PLACEHOLDERS = ("user", "host", "reason")
TAG_KEY, TAG_VALUE = 128, 256
"""Characters of a session tag."""

LOOPBACK = r"http://(?:127(?:\.[0-9]{1,3}){3}|localhost|\[::1\])(?::[0-9]+)?(?:/[\x21-\x7e]*)?"


def problem(key: Key, value: object) -> str | None:
    """What is wrong with `value` as a value of `key`."""
    return _CHECKS[key.form](key, value) or _special(key, value)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole of `text` matches; letters are ASCII letters, as in the API."""
    return re.fullmatch(pattern, text, re.ASCII) is not None


def duration_problem(kind: Kind, seconds: int, *, one_off: bool = False) -> str | None:
    """What is wrong with a duration for a kind; `one_off`: in `assume-root` or `assume-role`."""
    low, high = (keys.API_DURATIONS if one_off else keys.DURATIONS)[kind]
    if low <= seconds <= high:
        return None
    if seconds > high and sts_model.allows(keys.API[kind], "DurationSeconds", seconds):
        return None
    return f"must be {low} to {high} seconds for {keys.API[kind]}{_not(seconds)}"


def _text(key: Key, value: object) -> str | None:
    if not isinstance(value, str):
        return f"must be a string, not {kind_of(value)}"
    if has_control_characters(value, allowed="\t\n\r" if key.name == "policy" else ""):
        return "has a control character"
    if key.choices and value not in key.choices:
        return f"must be one of {', '.join(repr(choice) for choice in key.choices)}"
    if key.placeholders and (wrong := _unknown_placeholder(value)):
        return wrong
    filled = fill(value, dict.fromkeys(PLACEHOLDERS, "xx")) if key.placeholders else value
    return _bounds(key, len(filled), "characters") or _pattern(key, filled)


def _number(key: Key, value: object) -> str | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return f"must be a whole number, not {kind_of(value)}"
    return None if key.name == "duration_seconds" else _bounds(key, value, "")  # its bounds are the kind's


def _boolean(_key: Key, value: object) -> str | None:
    return None if isinstance(value, bool) else f"must be true or false, not {kind_of(value)}"


def _boolean_or_text(key: Key, value: object) -> str | None:
    if key.choices:
        named = ", ".join(
            str(choice).lower() if choice in (True, False) else f'"{choice}"' for choice in key.choices
        )
        fits = isinstance(value, (bool, str)) and value in key.choices  # 1 == True
        return None if fits else f"must be one of {named}"
    if isinstance(value, bool):
        return None
    if not isinstance(value, str):
        return f"must be true, false or a string, not {kind_of(value)}"
    if has_control_characters(value):
        return "has a control character"
    return _bounds(key, len(value), "characters")


def _texts(key: Key, value: object) -> str | None:
    if not isinstance(value, list):
        return f"must be an array of strings, not {kind_of(value)}"
    for item in value:
        if not isinstance(item, str):
            return f"must be an array of strings, and {kind_of(item)} is in it"
        if has_control_characters(item):
            return "has a control character"
        if wrong := _pattern(key, item):
            return wrong
    return _bounds(key, len(value), "entries")


def _table(key: Key, value: object) -> str | None:
    if not isinstance(value, Mapping):
        return f"must be a table of strings, not {kind_of(value)}"
    for name, text in value.items():
        if not isinstance(name, str):
            return f"must be a table of strings, and {kind_of(name)} is a key of it"
        if not isinstance(text, str):
            return f"must be a table of strings, and '{name}' is {kind_of(text)}"
        if has_control_characters(name + text):
            return "has a control character"
        if key.placeholders and (wrong := _unknown_placeholder(text)):
            return wrong
        if not name or not (_fits_tag("Key", name, TAG_KEY) and _fits_tag("Value", text, TAG_VALUE)):
            return f"'{name[:20]}': a tag has a key of 1 to 128 and a value of at most 256 characters"
    return _bounds(key, len(value), "entries")


def _fits_tag(member: str, text: str, high: int) -> bool:
    return len(text) <= high or sts_model.allows("AssumeRole", "Tags", len(text), member)


def _tables(key: Key, value: object) -> str | None:
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        return "must be an array of tables"
    for item in value:
        if set(item) != set(key.members):
            return f"needs exactly {' and '.join(key.members)} in each table"
        if not all(isinstance(text, str) and not has_control_characters(text) for text in item.values()):
            return "must hold strings without control characters"
    return _bounds(key, len(value), "entries")


_CHECKS = {
    "text": _text,
    "number": _number,
    "boolean": _boolean,
    "boolean or text": _boolean_or_text,
    "texts": _texts,
    "table": _table,
    "tables": _tables,
}


def _special(key: Key, value: object) -> str | None:
    """What no limit in the table expresses; `value` has the right form already."""
    check = _SPECIAL.get(key.name)
    return check(value) if check and isinstance(value, str) else None


def _endpoint_problem(url: str) -> str | None:
    from urllib.parse import urlsplit

    if url.startswith("http:") and not matches(LOOPBACK, url):
        return "must be https: only a loopback address may be plain http"
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:  # a bracket that does not close, a port that is no number or above 65535
        usable = False
    return None if usable else "must be https://HOST or https://HOST:PORT, perhaps with a path"


def _task_policy_problem(value: str) -> str | None:
    if value in TASKS or matches(POLICY_ARN, value):
        return None
    likely = nearest(short_task(value), TASKS)
    return f"is neither an ARN nor a root-task policy: '{value[:80]}'" + "".join(
        f", {hint}" for hint in likely
    )


def _json_problem(text: str) -> str | None:
    import json

    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return "is not valid JSON"
    return None if isinstance(document, dict) else "must be a JSON object"


def _regular_expression_problem(text: str) -> str | None:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return "is not a regular expression"
    return None


def _bounds(key: Key, size: int, unit: str) -> str | None:
    low, high = key.limits
    if (low is None or size >= low) and (high is None or size <= high or _is_new_limit(key, size)):
        return None
    if low is None:
        limit = f"at most {high}"
    elif high is None:
        limit = f"at least {low}"
    else:
        limit = f"{low} to {high}"
    return f"must be {limit} {unit}".rstrip() + _not(size)


def _is_new_limit(key: Key, size: int) -> bool:
    """Whether AWS has raised the limit since the table was written."""
    return key.parameter is not None and any(
        sts_model.allows(keys.API[kind], key.parameter, size) for kind in key.kinds
    )


def _not(size: int) -> str:
    # A number of thousands of digits does not help, and Python refuses to convert it (sys.int_info).
    return f", not {size}" if abs(size) < 10**18 else ""


_SPECIAL: Final[dict[str, Callable[[str], str | None]]] = {
    "task_policy_arn": _task_policy_problem,
    "policy": _json_problem,
    "require_reason": _regular_expression_problem,
    "endpoint_url": _endpoint_problem,
}


def _pattern(key: Key, text: str) -> str | None:
    if key.pattern is None or matches(key.pattern, text):
        return None
    return f"has a value that does not fit: '{text[:80]}'"


def fill(template: str, values: Mapping[str, str]) -> str:
    """`template` with each {placeholder} replaced; a brace that names none of them stays."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), template)


def _unknown_placeholder(text: str) -> str | None:
    unknown = next((name for name in re.findall(r"\{(\w*)\}", text) if name not in PLACEHOLDERS), None)
    known = "{user}, {host}, {reason}"
    return None if unknown is None else f"has an unknown placeholder '{{{unknown}}}' (known: {known})"


def has_control_characters(text: str, allowed: str = "") -> bool:
    """Whether there is a C0, DEL or C1 character, a Unicode line break or a lone surrogate."""
    return any(
        (code < 0x20 or 0x7F <= code < 0xA0 or code in (0x2028, 0x2029) or 0xD800 <= code < 0xE000)
        and chr(code) not in allowed
        for code in map(ord, text)
    )


def kind_of(value: object) -> str:
    """The type of a value, in words; a value of TOML has one of these."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, Mapping):
        return "a table"
    if type(value).__module__ == "datetime":  # not imported for this
        return "a date or time"
    kinds = {str: "a string", int: "a number", float: "a floating-point number", list: "an array"}
    return kinds.get(type(value)) or ("None" if value is None else type(value).__name__)
