"""Long-lived access keys as AWS gives them: parsed and checked. No error quotes a secret."""

from __future__ import annotations

import json
from typing import Any, Final

from credhelper.config import validation
from credhelper.credentials import AccessKey
from credhelper.errors import ConfigError

LIMIT: Final = 64 * 1024
"""Bytes of a text with one key; those of AWS have a few hundred."""

FORMS: Final = (
    "give it two lines, access key id and secret access key; or the JSON of 'aws iam create-access-key'; "
    "or the CSV file of the AWS console"
)
_ID: Final = r"[A-Z0-9]{16,128}"
_SECRET: Final = r"[\x21-\x7e]{16,256}"  # noqa: S105 - what one looks like: AWS's have 40 characters
_CSV_HEADER: Final = "access key id,secret access key"


def parse(content: bytes, access_key_id: str | None) -> AccessKey:
    """The key in a text; with `access_key_id`, the text may be the secret alone. Raises ConfigError."""
    text = content.decode("utf-8-sig", "replace")
    found = _in_json(text) if text.lstrip().startswith("{") else _in_lines(text, access_key_id)
    if found is None or len(content) > LIMIT:
        problem = "stdin holds no access key that can be read" if text.strip() else "stdin is empty"
        raise ConfigError(problem, FORMS)
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
    """The id of a long-lived key, unchanged. Raises ConfigError, which quotes nothing that may be secret."""
    if not validation.matches(_ID, text):
        raise ConfigError("not an access key id: it has 16 to 128 capital letters and digits")
    if text.startswith("ASIA"):
        raise _temporary(f"'{text}'")
    return text


def check_secret(text: str) -> str:
    """The secret of a key, unchanged. Raises ConfigError."""
    if not validation.matches(_SECRET, text):
        raise ConfigError("not a secret access key: it has 16 to 256 characters of printable ASCII")
    return text


def _temporary(subject: str) -> ConfigError:
    return ConfigError(
        f"{subject} belongs to a session and expires: only long-lived keys are saved",
        "for a session, set 'source_profile' or 'credential_source' in the profile",
    )
