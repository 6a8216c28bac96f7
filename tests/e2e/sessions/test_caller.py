"""Who is asking: the login name, the machine, and the program behind the SDK."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from credhelper.sessions import caller

if TYPE_CHECKING:
    from pathlib import Path

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc")
ASK = "from credhelper.sessions import caller; print(*caller.asking_program())"


def test_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own name for the user; the environment's only where the system has none."""
    pwd = pytest.importorskip("pwd")
    assert caller.user({"USER": "mallory"}) == pwd.getpwuid(os.geteuid()).pw_name

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert caller.user({"USER": "me"}) == "me"
    assert caller.user({"USER": "me", "USERNAME": "windows-me"}) == "windows-me"
    assert caller.user({}) == "unknown"


def test_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has both names in the environment."""
    monkeypatch.setattr(sys, "platform", "win32")
    assert caller.user({"USERNAME": "me"}) == "me"
    assert caller.host({"COMPUTERNAME": "LAPTOP"}) == "LAPTOP"
    assert (caller.user({}), caller.host({})) == ("unknown", "unknown")


def test_host() -> None:
    """The machine's name without its domain."""
    assert caller.host({}) == os.uname().nodename.split(".")[0]


@linux
class TestAskingProgram:
    def test_the_parent(self) -> None:
        """A program that runs us itself is the one that asks."""
        name = caller._process(os.getpid())
        assert name is not None
        assert run([sys.executable, "-c", ASK]) == f"{name[0]} {os.getpid()}"

    def test_shells_and_ourselves_are_passed_over(self, tmp_path: Path) -> None:
        """Between an SDK and us may be shells and another credhelper, which are not who asks."""
        outer = tmp_path / "credhelper"
        outer.write_text(
            f"import subprocess\nsubprocess.run(['sh', '-c', '''{sys.executable} -c \"{ASK}\"; true'''])"
        )
        name = caller._process(os.getpid())
        assert name is not None
        command = f"{sys.executable} {outer}; true"
        assert run(["sh", "-c", command]) == f"{name[0]} {os.getpid()}"

    def test_a_strange_name(self, tmp_path: Path) -> None:
        """A program may call itself anything: what is recorded moves no cursor and is ASCII."""
        sleep = shutil.which("sleep")
        assert sleep is not None
        strange = os.fsencode(tmp_path) + b"/a) \x1b\xff\n"
        shutil.copy(sleep, strange)
        with subprocess.Popen([strange, b"60"]) as process:
            found = caller._process(process.pid)
            process.kill()
        assert found is not None
        assert found[0] == "a) \\x1b\\udcff\\x0a"
        assert found[2] == os.getpid()

    def test_nobody_to_be_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the system does not tell, there is no name."""
        monkeypatch.setattr(caller, "_process", lambda _: None)
        assert caller.asking_program() == ("", os.getppid())
        monkeypatch.undo()
        assert caller._process(0) is None

    def test_a_chain_of_shells_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only so many ancestors are looked at."""
        monkeypatch.setattr(caller, "_process", lambda pid: ("sh", ["sh"], pid + 1))
        assert caller.asking_program() == ("", os.getppid() + caller.ANCESTORS)


def run(command: list[str]) -> str:
    """What a program prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
