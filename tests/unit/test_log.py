"""The log takes a line for what went wrong, and never makes anything worse."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from credhelper import paths
from credhelper.log import Log

if TYPE_CHECKING:
    from pathlib import Path


def test_a_line_has_time_process_and_level_in_a_private_file(tmp_path: Path) -> None:
    log = tmp_path / "state" / "log"
    Log(str(log)).warning("the keyring is away")
    expected = rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ {os.getpid()} warning: the keyring is away\n"
    assert re.fullmatch(expected, log.read_text())
    assert log.stat().st_mode & 0o777 == 0o600


def test_steps_are_logged_only_with_debug_and_as_one_line_of_printable_ascii(tmp_path: Path) -> None:
    log = tmp_path / "log"
    Log(str(log)).debug("a step")
    assert not log.exists()
    Log(str(log), debug=True).debug("a\nb\r\x1b[2J\x00 \N{KEY} \ud800")
    content = log.read_bytes()
    assert content.count(b"\n") == 1
    assert content.endswith(b" debug: a\\x0ab\\x0d\\x1b[2J\\x00 \\U0001f511 \\ud800\n")


def test_a_log_that_cannot_be_written_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    Log(str(tmp_path / "file" / "log")).warning("lost")
    (tmp_path / "log").mkdir()
    Log(str(tmp_path / "log")).warning("lost")


def test_past_1_mib_one_old_log_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for number in range(3):
        log.write_bytes(b"%d" % number * (paths.LOG_LIMIT + 1))
        Log(str(log)).warning("new")
        assert len(log.read_text().splitlines()) == 1
        assert (tmp_path / "log.1").read_bytes()[:1] == b"%d" % number
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]
