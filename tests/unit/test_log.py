"""The log takes a line for what went wrong, and never makes anything worse."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from credhelper import paths
from credhelper.log import Log

if TYPE_CHECKING:
    from pathlib import Path


def test_a_line(tmp_path: Path) -> None:
    """A line has the time, the process and how bad it is, in a file that only the user can read."""
    log = tmp_path / "state" / "log"
    Log(str(log)).warning("the keyring is away")
    expected = rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ {os.getpid()} warning: the keyring is away\n"
    assert re.fullmatch(expected, log.read_text())
    assert log.stat().st_mode & 0o777 == 0o600


def test_steps_only_where_asked(tmp_path: Path) -> None:
    """Steps on the way are written for CREDHELPER_LOG=debug alone."""
    log = tmp_path / "log"
    Log(str(log)).debug("a step")
    assert not log.exists()
    Log(str(log), debug=True).debug("a step")
    assert log.read_text().endswith(" debug: a step\n")


def test_one_line_whatever_is_said(tmp_path: Path) -> None:
    """Line breaks, control characters and other scripts cannot make a second line or move a cursor."""
    log = tmp_path / "log"
    Log(str(log)).warning("a\nb\r\x1b[2J\x00 \N{KEY} \ud800")
    content = log.read_bytes()
    assert content.count(b"\n") == 1
    assert content.endswith(b"a\\x0ab\\x0d\\x1b[2J\\x00 \\U0001f511 \\ud800\n")


def test_nowhere_to_write(tmp_path: Path) -> None:
    """Where the log cannot be written, nothing is raised and nothing said."""
    (tmp_path / "file").touch()
    Log(str(tmp_path / "file" / "log")).warning("lost")
    (tmp_path / "log").mkdir()
    Log(str(tmp_path / "log")).warning("lost")


def test_rotation(tmp_path: Path) -> None:
    """Past 1 MiB a new log is begun, and one old one is kept."""
    log = tmp_path / "log"
    for number in range(3):
        log.write_bytes(b"%d" % number * (paths.LOG_LIMIT + 1))
        Log(str(log)).warning("new")
        assert len(log.read_text().splitlines()) == 1
        assert (tmp_path / "log.1").read_bytes()[:1] == b"%d" % number
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]
