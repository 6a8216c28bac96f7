"""Who is asking: the login name, the machine, and the program behind the SDK."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from credhelper.sessions import caller

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc")
ASK = "from credhelper.sessions import caller; print(*caller.asking_program())"


def test_the_user_is_the_system_s_name_or_else_the_environment_s(monkeypatch) -> None:
    pwd = pytest.importorskip("pwd")
    assert caller.user({"USER": "mallory"}) == pwd.getpwuid(os.geteuid()).pw_name

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert caller.user({"USER": "me"}) == "me"
    assert caller.user({"USER": "me", "USERNAME": "windows-me"}) == "windows-me"
    assert caller.user({}) == "unknown"


def test_on_windows_the_environment_has_both_names(monkeypatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert caller.user({"USERNAME": "me"}) == "me"
    assert caller.host({"COMPUTERNAME": "LAPTOP"}) == "LAPTOP"
    assert (caller.user({}), caller.host({})) == ("unknown", "unknown")


def test_the_host_has_no_domain() -> None:
    assert caller.host({}) == os.uname().nodename.split(".")[0]


@linux
class TestAskingProgram:
    def test_a_program_that_runs_credhelper_is_the_requester(self) -> None:
        name = caller._process(os.getpid())
        assert name is not None
        assert run([sys.executable, "-c", ASK]) == f"{name[0]} {os.getpid()}"

    def test_shells_and_credhelper_are_skipped(self, tmp_path) -> None:
        outer = tmp_path / "credhelper"
        outer.write_text(
            f"import subprocess\nsubprocess.run(['sh', '-c', '''{sys.executable} -c \"{ASK}\"; true'''])"
        )
        name = caller._process(os.getpid())
        assert name is not None
        command = f"{sys.executable} {outer}; true"
        assert run(["sh", "-c", command]) == f"{name[0]} {os.getpid()}"

    def test_a_name_with_control_characters_becomes_printable_ascii(self, tmp_path) -> None:
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

    def test_an_ancestor_that_the_system_hides_has_no_name(self, monkeypatch) -> None:
        monkeypatch.setattr(caller, "_process", lambda _: None)
        assert caller.asking_program() == ("", os.getppid())
        monkeypatch.undo()
        assert caller._process(0) is None

    def test_the_search_ends_after_some_ancestors(self, monkeypatch) -> None:
        monkeypatch.setattr(caller, "_process", lambda pid: ("sh", ["sh"], pid + 1))
        assert caller.asking_program() == ("", os.getppid() + caller.ANCESTORS)


def run(command: list[str]) -> str:
    """What a program prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
