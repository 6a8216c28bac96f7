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
def test_a_bad_file_is_refused(sandbox: Sandbox, bad: Bad) -> None:
    """The program ends with status 2, an empty stdout, and the sentence as one line of ASCII."""
    sandbox.config.write_bytes(bad.content)
    said = sandbox.refuses(2, "get", bad.asked)
    for word in bad.words:
        assert printable(word) in said
    if bad.line is not None:
        assert f"config.toml' line {bad.line}: " in said
    assert SOURCE_SECRET not in said
    assert len(said) < 2400


def test_missing(sandbox: Sandbox) -> None:
    """Without a configuration file the program says where it looked, and what to write."""
    sandbox.config.unlink()
    said = sandbox.refuses(2, "get", "x")
    assert f"no configuration file '{sandbox.config}'" in said
    assert "config.example.toml' shows every key" in said


def test_directory(sandbox: Sandbox) -> None:
    """A directory in place of the file is refused."""
    sandbox.config.unlink()
    sandbox.config.mkdir()
    assert f"cannot read '{sandbox.config}': is a directory" in sandbox.refuses(2, "get", "x")


def test_fifo(sandbox: Sandbox) -> None:
    """A FIFO in place of the file is refused at once: nobody may ever write to it."""
    sandbox.config.unlink()
    os.mkfifo(sandbox.config)
    assert f"'{sandbox.config}' is not a regular file" in sandbox.refuses(2, "get", "x")


def test_device(sandbox: Sandbox) -> None:
    """An endless device in place of the file is refused."""
    said = sandbox.refuses(2, "get", "x", CREDHELPER_CONFIG="/dev/zero")
    assert "'/dev/zero' is not a regular file" in said


def test_out_of_reach(sandbox: Sandbox) -> None:
    """A file that cannot be read is refused with the system's reason."""
    place = "/proc/self/mem/config.toml"
    assert f"cannot read '{place}': not a directory" in sandbox.refuses(
        2, "get", "x", CREDHELPER_CONFIG=place
    )
