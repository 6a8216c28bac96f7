"""The program refuses a bad config.toml with exit status 2 and a sentence that names the place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from credhelper.errors import printable

import bad_configs
from sts import SOURCE_SECRET

if TYPE_CHECKING:
    from bad_configs import Bad
    from sandbox import Sandbox


@pytest.mark.parametrize("bad", bad_configs.ALL, ids=lambda bad: bad.name)
def test_bad_file_ends_with_status_2_and_one_line(sandbox: Sandbox, bad: Bad) -> None:
    sandbox.config.write_bytes(bad.content)
    said = sandbox.refuses(2, "get", bad.asked)
    assert [word for word in bad.words if printable(word) not in said] == []
    if bad.line is not None:
        assert f"config.toml' line {bad.line}: " in said
    assert SOURCE_SECRET not in said
    assert len(said) < 2400


def test_missing_file_names_its_path_and_setup(sandbox: Sandbox) -> None:
    sandbox.config.unlink()
    said = sandbox.refuses(2, "get", "x")
    assert f"no configuration file '{sandbox.config}'" in said
    assert "config.example.toml' shows every key" in said


def test_directory_or_fifo_is_refused_at_once(sandbox: Sandbox) -> None:
    sandbox.config.unlink()
    sandbox.config.mkdir()
    assert f"cannot read '{sandbox.config}': is a directory" in sandbox.refuses(2, "get", "x")
    sandbox.config.rmdir()
    os.mkfifo(sandbox.config)
    assert f"'{sandbox.config}' is not a regular file" in sandbox.refuses(2, "get", "x")


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("/dev/zero", "'/dev/zero' is not a regular file"),
        ("/proc/self/mem/config.toml", "cannot read '/proc/self/mem/config.toml': not a directory"),
    ],
)
def test_endless_or_unreadable_file_is_refused(sandbox: Sandbox, place: str, sentence: str) -> None:
    assert sentence in sandbox.refuses(2, "get", "x", CREDHELPER_CONFIG=place)
