"""One holder at a time, across processes, and no wait for a dead or stopped one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from credhelper import expiry
from credhelper.cache.locks import FileLocks
from credhelper.credentials import Clocks
from credhelper.errors import ConfigError, CredhelperError, RefusedError, UnreachableError
from credhelper.log import Log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCKS = """\
import sys
from credhelper.log import Log
from credhelper.cache.locks import FileLocks
locks = FileLocks(sys.argv[1], Log(sys.argv[1] + "/log"))
"""
HOLD = f"""{LOCKS}
with locks.hold("K", 30) as held:
    print(held, flush=True)
    sys.stdin.read()
"""
COUNT = f"""{LOCKS}
for _ in range(25):
    with locks.hold("K", 30) as held:
        assert held
        number = int(open(sys.argv[2]).read())
        open(sys.argv[2], "w").write(str(number + 1))
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def locks(directory: Path, tmp_path: Path) -> FileLocks:
    return FileLocks(str(directory), Log(str(tmp_path / "log")))


@contextmanager
def holder(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock."""
    command = [sys.executable, "-c", HOLD, str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        try:
            yield process
        finally:
            process.kill()


class TestHold:
    def test_four_processes_that_count_under_the_lock_lose_no_number(self, directory, tmp_path) -> None:
        counter = tmp_path / "counter"
        counter.write_text("0")
        command = [sys.executable, "-c", COUNT, str(directory), str(counter)]
        processes = [subprocess.Popen(command) for _ in range(4)]
        assert [process.wait(60) for process in processes] == [0] * 4
        assert counter.read_text() == "100"

    def test_released_lock_is_free_and_its_file_private(self, locks: FileLocks, directory: Path) -> None:
        for _ in range(2):
            with locks.hold("K", 0) as held:
                assert held
        assert [path.name for path in directory.iterdir()] == ["K.lock"]
        assert (directory / "K.lock").stat().st_mode & 0o777 == 0o600

    def test_error_in_the_block_releases_the_lock(self, locks: FileLocks) -> None:
        with pytest.raises(RefusedError), locks.hold("K", 0):
            raise RefusedError("no")
        with locks.hold("K", 0) as held:
            assert held

    def test_lock_of_another_key_is_free_and_kill_of_the_holder_frees_its_lock(self, locks, directory):
        with holder(directory) as process:
            with locks.hold("L", 0) as held:
                assert held
            process.kill()
            started = time.monotonic()
            with locks.hold("K", 10) as held:
                assert held
            assert time.monotonic() - started < 2

    @pytest.mark.parametrize("number", [None, signal.SIGSTOP])
    def test_waiter_gives_up_in_time_and_logs_it(self, locks, directory, tmp_path, number) -> None:
        with holder(directory) as process:
            if number is not None:
                process.send_signal(number)
            started = time.monotonic()
            with locks.hold("K", 0.5) as held:
                assert not held
            assert 0.4 < time.monotonic() - started < 2
        assert "gave up waiting for the lock of K" in (tmp_path / "log").read_text()

    def test_link_in_place_of_the_lock_is_not_followed(self, locks, directory, tmp_path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("precious")
        (directory / "K.lock").symlink_to(victim)
        with locks.hold("K", 1) as held:
            assert not held
        assert victim.read_text() == "precious"
        assert "no lock for K: " in (tmp_path / "log").read_text()

    def test_without_a_directory_nothing_is_locked_or_kept(self, tmp_path: Path) -> None:
        locks = FileLocks(None, Log(str(tmp_path / "log")))
        with locks.hold("K", 1) as held:
            assert not held
        locks.states.remember("K", RefusedError("no"))
        locks.states.forget("K")
        assert locks.states.last_failure("K") is None
        assert list(tmp_path.iterdir()) == []


FAILURE = ["RefusedError", "no", [], None, 1.0, 2.0, "boot"]
BAD_VALUES = [(0, 99), (0, []), (2, 5), (4, "noon"), (5, "noon"), (4, float("nan")), (6, None)]


class TestFailures:
    @pytest.mark.parametrize(
        "error",
        [
            RefusedError("'AssumeRole' was refused", "ask", "again", code="AccessDenied"),
            UnreachableError("no answer: Zürich \N{KEY}"),
            ConfigError("bad", "hint"),
            CredhelperError(""),
        ],
    )
    def test_failure_comes_back_with_all_its_fields(self, locks, directory, error) -> None:
        before = expiry.read_clocks()
        locks.states.remember("K", error)
        failure = locks.states.last_failure("K")
        assert failure is not None
        for name in ("__class__", "sentence", "hints", "code"):
            assert getattr(failure.error, name) == getattr(error, name)
        assert 0 <= expiry.since(before, failure.at) < 5
        assert (directory / "K.failed").stat().st_mode & 0o777 == 0o600

    def test_forget_drops_the_failure(self, locks: FileLocks) -> None:
        locks.states.remember("K", RefusedError("a long sentence that the next one is shorter than"))
        locks.states.remember("K", RefusedError("no"))
        failure = locks.states.last_failure("K")
        assert failure is not None
        assert failure.error.sentence == "no"
        locks.states.forget("K")
        locks.states.forget("K")
        assert locks.states.last_failure("K") is None

    @pytest.mark.parametrize(
        "content",
        [
            *("", "no json", "{}", "5", "[]", "[" * 100_000, "Z\xfcrich"),
            json.dumps(FAILURE[:-1]),
            json.dumps([*FAILURE, "more"]),
            *(json.dumps([*FAILURE[:at], value, *FAILURE[at + 1 :]]) for at, value in BAD_VALUES),
        ],
    )
    def test_unreadable_file_is_no_failure(self, locks: FileLocks, directory: Path, content: str) -> None:
        (directory / "K.failed").write_text(content, encoding="utf-8")
        assert locks.states.last_failure("K") is None

    @pytest.mark.parametrize("kind", ["fifo", "link", "directory"])
    def test_fifo_or_link_is_replaced_and_a_directory_kept(self, locks, directory, tmp_path, kind) -> None:
        victim, path = tmp_path / "victim", directory / "K.failed"
        victim.write_text("precious")
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "link":
            path.symlink_to(victim)
        else:
            path.mkdir()
        locks.states.remember("K", RefusedError("no"))
        assert (locks.states.last_failure("K") is None) == (kind == "directory")
        assert victim.read_text() == "precious"
        assert [each.name for each in directory.iterdir()] == ["K.failed"]

    def test_failure_without_a_boot_clock_is_read(self, locks: FileLocks, directory: Path) -> None:
        (directory / "K.failed").write_text(json.dumps(["RefusedError", "no", [], None, 5.0, None, ""]))
        failure = locks.states.last_failure("K")
        assert failure is not None
        assert failure.at == Clocks(5.0)
