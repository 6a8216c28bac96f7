"""credhelper's files under real processes, on real disks, and in directories of another user."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from credhelper import paths

from disks import as_root, fill
from sandbox import PROFILES, PROGRAM

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Sandbox
    from sts import LoopbackSts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are POSIX's")


@pytest.mark.parametrize("name", ["audit.jsonl", "credhelper.log", "items.jsonl"])
def test_fifo_in_place_of_a_state_file_does_not_stop_get(sandbox: Sandbox, name: str) -> None:
    sandbox.state.mkdir(parents=True)
    os.mkfifo(sandbox.state / name)
    sandbox.get("developer")


def test_lines_of_eight_processes_stay_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    write = (
        "import sys; from credhelper import paths\n"
        "for number in range(200): paths.append_line(sys.argv[1], f'{sys.argv[2]} {number} ' + 'x' * 300)"
    )
    processes = [subprocess.Popen([sys.executable, "-c", write, path, str(who)]) for who in range(8)]
    assert [process.wait(60) for process in processes] == [0] * 8
    # An empty line is possible where one is seen half written; every reader passes over it.
    lines = [line for line in paths.read_lines(path) if line]
    expected = [f"{who} {number} {'x' * 300}" for who in range(8) for number in range(200)]
    assert sorted(lines) == sorted(expected)


def test_line_written_in_part_is_an_error(small: Path) -> None:
    def fill() -> None:
        for _ in range(1000):
            paths.append_line(str(small / "log"), "x" * 1000)

    with pytest.raises(OSError, match="No space left") as raised:
        fill()
    assert raised.value.errno == errno.ENOSPC


def test_replace_on_a_full_disk_keeps_the_old_file(small: Path) -> None:
    path = str(small / "items")
    paths.replace_private(path, "old\n")
    fill(small)
    with pytest.raises(OSError, match="No space left"):
        paths.replace_private(path, "x" * 100_000)
    assert paths.read_lines(path) == ["old"]
    assert sorted(os.listdir(small)) == ["filler", "items"]


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_full_or_read_only_disk_does_not_stop_get(sandbox: Sandbox, small: Path, trouble: str) -> None:
    sandbox.environ["XDG_STATE_HOME"] = str(small / "state")
    sandbox.environ["XDG_RUNTIME_DIR"] = str(small)
    if trouble == "full":
        fill(small)
    else:
        assert as_root("mount", "-o", "remount,ro", str(small)).returncode == 0
    sandbox.environ["CREDHELPER_KEYRING"] = "none"
    assert sandbox.get("developer")["AccountId"] == "222233334444"


def test_required_audit_on_a_full_disk_refuses_the_mint(sandbox: Sandbox, sts: LoopbackSts) -> None:
    sandbox.configure(PROFILES + "\n[audit]\nrequired = true\n")
    command = ["sh", "-c", f"ulimit -f 0; exec {PROGRAM} get developer"]
    done = subprocess.run(command, env=sandbox.environ, capture_output=True, text=True, check=False)

    assert (done.returncode, sts.count()) == (1, 0)
    assert "nothing is minted: '[audit] required' is set" in done.stderr
    sandbox.get("developer")
    sandbox.check_modes()
