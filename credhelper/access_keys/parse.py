"""A long-lived access key as text: what AWS hands out, read and checked. No complaint quotes a secret."""

from __future__ import annotations

import json
from typing import Any, Final

from credhelper.config import validation
from credhelper.credentials import AccessKey
from credhelper.errors import ConfigError

LIMIT: Final = 64 * 1024
"""Bytes of a text with one key in it; AWS's own have a few hundred."""

FORMS: Final = (
    "give it two lines, access key id and secret access key; or the JSON of 'aws iam create-access-key'; "
    "or the CSV file of the AWS console"
)
_ID: Final = r"[A-Z0-9]{16,128}"
_SECRET: Final = r"[\x21-\x7e]{16,256}"  # noqa: S105 - what one looks like: AWS's have 40 characters
_CSV_HEADER: Final = "access key id,secret access key"


def parse(content: bytes, access_key_id: str | None) -> AccessKey:
    """The key in a text, which needs to have no more than the secret where the id is known.

    Raises ConfigError.
    """
    text = content.decode("utf-8-sig", "replace")
    found = _in_json(text) if text.lstrip().startswith("{") else _in_lines(text, access_key_id)
    if found is None or len(content) > LIMIT:
        raise ConfigError(
            "stdin holds no access key that can be read" if text.strip() else "stdin is empty", FORMS
        )
    access_key = AccessKey(check_id(found[0]), check_secret(found[1]))
    if access_key_id not in (None, access_key.access_key_id):
        raise ConfigError(f"stdin holds the access key '{access_key.access_key_id}', not '{access_key_id}'")
    return access_key


def _in_json(text: str) -> tuple[str, str] | None:
    try:
        document: Any = json.loads(text)
        document = document.get("AccessKey", document)
        if "SessionToken" in document or "Credentials" in document:
            raise _temporary("the access key on stdin")
        pair = document["AccessKeyId"], document["SecretAccessKey"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return pair if all(isinstance(part, str) for part in pair) else None


def _in_lines(text: str, access_key_id: str | None) -> tuple[str, str] | None:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) == 2 and lines[0].lower() == _CSV_HEADER:
        lines = lines[1].split(",")
    if len(lines) == 1 and access_key_id is not None:
        lines = [access_key_id, *lines]
    return (lines[0], lines[1]) if len(lines) == 2 else None


def check_id(text: str) -> str:
    """The id of a long-lived key, as it is. Raises ConfigError, which quotes nothing that may be a secret."""
    if not validation.matches(_ID, text):
        raise ConfigError("that is no access key id: 16 to 128 capital letters and digits")
    if text.startswith("ASIA"):
        raise _temporary(f"'{text}'")
    return text


def check_secret(text: str) -> str:
    """The secret of a key, as it is. Raises ConfigError."""
    if not validation.matches(_SECRET, text):
        raise ConfigError("that is no secret access key: one word of printable ASCII, 16 to 256 characters")
    return text


def _temporary(what: str) -> ConfigError:
    return ConfigError(
        f"{what} is a session's and expires: only long-lived keys are saved",
        "'source_profile' and 'credential_source' take sessions from where they come from",
    )
