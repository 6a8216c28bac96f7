"""System parts that tests use for real: where one is missing the test is skipped, and fails in CI."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def missing(what: str) -> NoReturn:
    """End the test: CI installs what the tests use."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is to be installed in CI")
    pytest.skip(f"{what} is not installed")


def program(name: str) -> str:
    """The path of a program."""
    return shutil.which(name) or missing(name)


def faketime() -> str:
    """The library that moves clocks."""
    return str(FAKETIME[0]) if FAKETIME else missing("faketime")
