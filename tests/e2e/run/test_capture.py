"""Commands are run for what they print, and nothing of them is left."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from credhelper.errors import CredhelperError
from credhelper.run import capture
from credhelper.run.capture import Captured, Commands
from credhelper.run.command import NotExecutableError

from sandbox import is_alive, until


def _sh(commands: Commands, script: str, **environ: str) -> Captured:
    return commands.run("/bin/sh", ["sh", "-c", script], {"PATH": "/usr/bin:/bin", **environ})


@pytest.mark.parametrize(
    ("script", "captured"),
    [
        ("echo $A; printf '\\377' >&2; cat; exit 7", Captured(7, b"b\n", b"\xff", cut=False)),
        ("kill -9 $$", Captured(137, b"", b"", cut=False)),
        ('test "$(cut -d" " -f6 /proc/$$/stat)" = $$', Captured(0, b"", b"", cut=False)),
    ],
    ids=["output and status", "killed: 128 plus signal", "leads a session of its own"],
)
def test_command_is_captured(script, captured) -> None:
    assert _sh(Commands(), script, A="b") == captured


def test_output_over_the_limit_is_dropped(monkeypatch) -> None:
    monkeypatch.setattr(capture, "OUTPUT_LIMIT", 100_000)
    found = _sh(Commands(), "head -c 300000 /dev/zero; echo done >&2")

    assert (len(found.stdout), found.stderr, found.cut, found.status) == (100_000, b"done\n", True, 0)
    assert not _sh(Commands(), "head -c 100000 /dev/zero").cut


def test_program_that_cannot_run_is_not_executable_error(tmp_path) -> None:
    (tmp_path / "x").write_bytes(b"\0")
    (tmp_path / "x").chmod(0o700)
    with pytest.raises(NotExecutableError, match="'x' cannot be run: exec format error"):
        Commands().run(str(tmp_path / "x"), ["x"], {})


def test_background_process_is_waited_for_then_killed(monkeypatch) -> None:
    monkeypatch.setattr(capture, "AFTERWARDS", 0.5)
    found = _sh(Commands(), "(sleep 0.2; echo late) & echo early")
    assert found.stdout == b"early\nlate\n"

    began = time.monotonic()
    found = _sh(Commands(), "sleep 300 & echo $!")
    assert time.monotonic() - began < 30
    until(lambda: not is_alive(int(found.stdout)), 5)


def test_captured_command_leaves_no_descriptor_or_thread() -> None:
    _sh(Commands(), "true")
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(20):
        _sh(Commands(), "echo x; echo y >&2")

    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


class TestEnd:
    def test_signal_reaches_commands_and_their_children(self, tmp_path) -> None:
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

    def test_child_that_ignores_the_signal_is_killed(self, tmp_path) -> None:
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
