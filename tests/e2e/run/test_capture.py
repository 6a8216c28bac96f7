"""Commands are run for what they print, and nothing of them is left."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from credhelper.errors import CredhelperError
from credhelper.run import capture
from credhelper.run.capture import Captured, Commands
from credhelper.run.command import NotExecutableError

from sandbox import is_alive, until

if TYPE_CHECKING:
    from pathlib import Path


def _sh(commands: Commands, script: str, **environ: str) -> Captured:
    return commands.run("/bin/sh", ["sh", "-c", script], {"PATH": "/usr/bin:/bin", **environ})


def test_both_outputs_and_the_status() -> None:
    """Bytes as they are; the environment is what was given, and stdin is empty."""
    found = _sh(Commands(), "echo $A; printf '\\377' >&2; cat; exit 7", A="b")

    assert found == Captured(7, b"b\n", b"\xff", cut=False)


def test_a_killed_command_has_the_status_that_shells_give_it() -> None:
    """128 and the signal's number."""
    assert _sh(Commands(), "kill -9 $$").status == 137


def test_it_has_no_terminal() -> None:
    """Many at a time cannot share one: it leads a session of its own."""
    assert _sh(Commands(), 'test "$(cut -d" " -f6 /proc/$$/stat)" = $$').status == 0


def test_what_is_too_much_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is not held up, and it is said."""
    monkeypatch.setattr(capture, "OUTPUT_LIMIT", 100_000)
    found = _sh(Commands(), "head -c 300000 /dev/zero; echo done >&2")

    assert (len(found.stdout), found.stderr, found.cut, found.status) == (100_000, b"done\n", True, 0)
    assert not _sh(Commands(), "head -c 100000 /dev/zero").cut


def test_what_cannot_be_run_is_said(tmp_path: Path) -> None:
    """The exit status is the one that shells give."""
    (tmp_path / "x").write_bytes(b"\0")
    (tmp_path / "x").chmod(0o700)
    with pytest.raises(NotExecutableError, match="'x' cannot be run: exec format error"):
        Commands().run(str(tmp_path / "x"), ["x"], {})


def test_what_still_writes_afterwards_is_waited_for_and_then_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second for the end of a pipe; a process in the background goes with its command."""
    monkeypatch.setattr(capture, "AFTERWARDS", 0.5)
    found = _sh(Commands(), "(sleep 0.2; echo late) & echo early")
    assert found.stdout == b"early\nlate\n"

    began = time.monotonic()
    found = _sh(Commands(), "sleep 300 & echo $!")
    assert time.monotonic() - began < 30
    until(lambda: not is_alive(int(found.stdout)), 5)


def test_no_descriptor_is_left() -> None:
    """Nor a thread, nor a zombie."""
    _sh(Commands(), "true")
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(20):
        _sh(Commands(), "echo x; echo y >&2")

    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


class TestEnd:
    """All of them end together."""

    def test_a_signal_reaches_every_command_and_what_it_has_started(self, tmp_path: Path) -> None:
        """A shell's children too; none is begun any more."""
        commands = Commands()
        script = f"sleep 300 & echo $! >{tmp_path}/$N; wait"
        with ThreadPoolExecutor(3) as pool:
            running = [pool.submit(_sh, commands, script, N=str(number)) for number in range(3)]
            until(lambda: sum(path.stat().st_size > 0 for path in tmp_path.iterdir()) == 3)
            commands.end(signal.SIGTERM)
            statuses = [each.result(60).status for each in running]

        assert statuses == [143] * 3
        assert not any(is_alive(int(path.read_text())) for path in tmp_path.iterdir())
        with pytest.raises(CredhelperError, match="interrupted"):
            _sh(commands, "true")

    def test_what_outlives_its_command_is_killed(self, tmp_path: Path) -> None:
        """A child that ignores the signal is not left behind."""
        commands = Commands()
        ignore = (
            "import signal,time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(300)"
        )
        script = f"'{sys.executable}' -c '{ignore}' >{tmp_path}/ready 2>&1 & echo $! >{tmp_path}/pid; wait"
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(_sh, commands, script)
            until(lambda: (tmp_path / "ready").exists() and (tmp_path / "ready").read_text())
            commands.end(signal.SIGTERM)
            assert running.result(60).status == 143

        until(lambda: not is_alive(int((tmp_path / "pid").read_text())), 5)
