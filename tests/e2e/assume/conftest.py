"""API forms in the test's own process."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from sts import SOURCE_KEY_ID, SOURCE_SECRET

if TYPE_CHECKING:
    from sandbox import Sandbox


@pytest.fixture
def in_process(sandbox, monkeypatch) -> Sandbox:
    """The sandbox as this process's environment, with a key on stdin for --credential-stdin."""
    for name, value in sandbox.environ.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "")  # the option sets them, and they are gone after the test
        monkeypatch.delenv(name)
    keys = json.dumps({"AccessKeyId": SOURCE_KEY_ID, "SecretAccessKey": SOURCE_SECRET})
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(keys.encode())))
    return sandbox
