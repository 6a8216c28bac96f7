"""What stands behind credential_process: one command for all SDKs, by a path that lasts."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from botocore.compat import _windows_shell_split

from credhelper.awsconfig import block, command
from credhelper.awsconfig.block import Entry
from credhelper.awsconfig.ini import IniFile
from credhelper.errors import ConfigError

import requirements
from blocks import ENVELOPE, resolved, script, write
from sandbox import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path


def go_v2(value: str) -> str:
    r"""How the SDK for Go v2 reads a value (internal/ini/strings.go): comments anywhere, \n a line end."""
    value = re.split("[#;]", value)[0].strip(" \t")
    if len(value) > 2 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return value.replace('\\"', '"').replace("\\'", "'").replace("\\n", "\n")


def go_v1(value: str) -> str:
    """How the SDK for Go v1 reads a value (internal/ini): what is quoted at its beginning is all of it."""
    return value[1:].partition('"')[0] if value.startswith('"') else re.split("[#;,]", value)[0].rstrip()


def javascript(value: str) -> str:
    """How the SDK for JavaScript reads a value (parseIni.ts)."""
    return re.split(r"(?:^|\s)[;#]", value)[0].strip()


READERS = (str, go_v1, go_v2, javascript)


def cmd_exe(line: str) -> list[str]:
    """What a program gets that `cmd.exe /d /s /c "LINE"` starts, by cmd's rules and then the C runtime's."""
    assert not set(line) & set('"%&|<>()^!\n'), "quotes do not survive everywhere, the others mean something"
    program = re.split(r"[ \t,;=/]", line)[0]  # what ends a command's name
    words = _windows_shell_split(line)
    assert words[0] == program
    return words


class TestCommandLine:
    """What stands behind credential_process."""

    @pytest.mark.parametrize(
        ("path", "line"),
        [
            ("/home/me/.local/bin/credhelper-get", "/home/me/.local/bin/credhelper-get a@b"),
            ("/Users/A B/bin/credhelper-get", '/"Users/A B/bin/credhelper-get" a@b'),
            ("/Users/büro/bin/credhelper-get", "/Users/büro/bin/credhelper-get a@b"),
            ("/Vol/Ben's (2) & co/get", '/"Vol/Ben\'s (2) & co/get" a@b'),
        ],
    )
    def test_form(self, path: str, line: str) -> None:
        """Quotes are double, only where needed, and never at the beginning, for the sake of Go v1."""
        assert command.command_line((path,), "a@b") == line

    def test_every_character(self) -> None:
        """Whatever is in a path, it comes out whole from every SDK's reader and splitter, or is refused."""
        refused = ""
        for letter in map(chr, [*range(0x250), 0x3000, 0xFEFF, 0xDC80, 0x1F600]):
            path = f"/a{letter}b/ {letter} {letter}{letter}/c"
            try:
                line = command.command_line((path,), "n+a.m=e@t")
            except ConfigError:
                refused += letter
                continue
            for read in READERS:
                assert shlex.split(read(line)) == [path, "n+a.m=e@t"], read
        assert set(refused) > set('"$`%\\\n\r\t\0#;,!*?[]{}<>|^\x7f\x85\xa0\u3000\udc80')
        assert not set(refused) & set("abzAZ09/._+@~:=- '()&é")

    @pytest.mark.parametrize("shell", ["sh", "dash", "bash", "zsh", "fish"])
    @pytest.mark.parametrize(
        "directory", ["Az0._+@~:=-é", "Ben's (2) & co  x", "a b", "(x", "x)", "a&b", "Ben's"]
    )
    def test_real_shells(self, tmp_path: Path, shell: str, directory: str) -> None:
        """Each shell that an SDK may run us by starts the program with its name as it is."""
        path = requirements.program(shell)
        program = script(tmp_path / directory / "credhelper-get", 'printf "%s\\n" "$@"')
        line = command.command_line((str(program), "get"), "n+a.m=e@t")
        done = subprocess.run([path, "-c", line], check=True, capture_output=True, text=True)
        assert done.stdout == "get\nn+a.m=e@t\n"

    @pytest.mark.parametrize("directory", ["plain", "with space", "Ben's (2) & co  x", "büro~1"])
    def test_real_botocore(self, tmp_path: Path, config: Path, directory: str) -> None:
        """botocore runs the command of a profile that was written into its file."""
        program = script(
            tmp_path / directory / "credhelper-get", f"echo '{json.dumps(ENVELOPE)}'; test $# = 1"
        )
        entry = Entry("a@b", command.command_line((str(program),), "a@b"))
        write(config, block.with_block(IniFile("config", b""), [entry]))
        assert resolved(config, "a@b") == ("custom-process", "AKIAPROCESS")

    @pytest.mark.parametrize(
        "path",
        ["bin/credhelper-get", "./x", "a b", "-x", "~/x", "", "/ends in space ", "/a\nb"],
    )
    def test_refused(self, path: str) -> None:
        """A path that is relative in part, or that a splitter would cut, is refused."""
        with pytest.raises(ConfigError) as caught:
            command.command_line((path,), "name")
        assert "no quoting of" in caught.value.sentence

    def test_bare_name(self) -> None:
        """A bare name and its verb need no path."""
        for windows in (False, True):
            assert command.command_line(("credhelper", "get"), "a@b", windows=windows) == "credhelper get a@b"

    def test_windows(self) -> None:
        """On Windows a path passes cmd.exe, the C runtime's rules and each SDK's reader, or is refused."""
        refused = ""
        for letter in map(chr, range(0x180)):
            path = rf"C:\U{letter}x\{letter}\get.exe"
            try:
                line = command.command_line((path, "get"), "n+a.m=e@t", windows=True)
            except ConfigError:
                refused += letter
                continue
            for read in READERS:
                assert _windows_shell_split(read(line)) == [path, "get", "n+a.m=e@t"], read
                assert cmd_exe(read(line)) == [path, "get", "n+a.m=e@t"], read
        assert set(refused) > set(" n\"'$`%&()/,;#!^<>|=\n\t\x7fé")
        assert not set(refused) & set("abmozA9._+@~-\\")


class TestStableProgram:
    """Which program is written into the file."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """Places in which programs are: a virtual environment, Homebrew's Cellar, and links to both."""
        answer = 'test "$1" = --version && echo "credhelper 1.2.3"'
        for place in ("venv/bin", "Cellar/credhelper/1.2.3/bin"):
            script(tmp_path / place / "credhelper", answer)
            script(tmp_path / place / "credhelper-get", answer)
        (tmp_path / "venv" / "pyvenv.cfg").touch()
        for place, real in (("local/bin", "venv/bin"), ("brew/bin", "Cellar/credhelper/1.2.3/bin")):
            (tmp_path / place).mkdir(parents=True)
            for name in ("credhelper", "credhelper-get"):
                (tmp_path / place / name).symlink_to(tmp_path / real / name)
        return tmp_path

    def found(self, root: Path, *places: str) -> str:
        """The program that is found in these places, which are searched in turn."""
        directories = [str(root / place) for place in places]
        words = command.stable_program(directories, lambda path: command.answers_version(path, os.environ))
        return " ".join(words).replace(f"{root}/", "")

    @pytest.mark.parametrize("stable", ["local/bin", "brew/bin"])
    @pytest.mark.parametrize("unstable", ["venv/bin", "Cellar/credhelper/1.2.3/bin"])
    def test_link(self, root: Path, stable: str, unstable: str) -> None:
        """The link is written, not what it leads to, even where that comes first on the PATH."""
        assert self.found(root, unstable, "none", stable) == f"{stable}/credhelper-get"
        assert self.found(root, stable, unstable) == f"{stable}/credhelper-get"

    def test_first_on_the_path(self, root: Path) -> None:
        """Of several stable ones it is the first, as the shell would find it."""
        assert self.found(root, "brew/bin", "local/bin") == "brew/bin/credhelper-get"

    def test_only_an_unstable_one(self, root: Path) -> None:
        """Where there is nothing else, the virtual environment's own program is better than none."""
        assert self.found(root, "venv/bin") == "venv/bin/credhelper-get"
        assert not command.is_stable(str(root / "venv/bin/credhelper-get"))

    @pytest.mark.parametrize(
        "launcher",
        [
            "echo credhelper 1; exit 1",
            "echo something else",
            "sleep 3; echo credhelper 1",
            None,
            "not executable",
        ],
    )
    def test_launcher_that_does_not_answer(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, launcher: str | None
    ) -> None:
        """A launcher that is missing, or answers nothing, is passed over for the program and its verb."""
        monkeypatch.setattr(command, "ANSWER_SECONDS", 0.3)
        path = root / "local/bin/credhelper-get"
        path.unlink()
        if launcher:
            script(path, launcher)
        if launcher == "not executable":
            path.chmod(0o644)
        assert self.found(root, "local/bin", "venv/bin") == "local/bin/credhelper get"

    def test_none(self, root: Path) -> None:
        """With nothing that fits it is the bare name; relative places on the PATH are not looked at."""
        script(root / "a$b" / "credhelper-get", "echo credhelper 1")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(root / "local/bin")
            words = command.stable_program(["", ".", str(root / "a$b")], lambda _path: True)
        assert words == ("credhelper", "get")

    def test_windows(self, tmp_path: Path) -> None:
        """On Windows, where no path with a space works in every SDK, it is the bare name."""
        script(tmp_path / "a b" / "credhelper.exe", "")
        words = command.stable_program([str(tmp_path / "a b")], lambda _path: True, windows=True)
        assert words == ("credhelper", "get")

    def test_real_program(self) -> None:
        """The installed program answers."""
        assert command.answers_version(PROGRAM, {"PATH": "/usr/bin:/bin"})

    @pytest.mark.parametrize(
        ("path", "stable"),
        [
            ("/home/me/.local/bin/credhelper-get", True),
            ("/opt/homebrew/bin/credhelper-get", True),
            ("/opt/homebrew/Cellar/credhelper/1.0/bin/credhelper-get", False),
            ("/nix/store/abc-credhelper/bin/credhelper-get", False),
            ("/home/me/.nix-profile/bin/credhelper-get", True),
            ("/home/me/.pyenv/shims/credhelper-get", False),
            ("/home/me/.pyenv/versions/3.13.0/bin/credhelper-get", True),
        ],
    )
    def test_stable(self, path: str, *, stable: bool) -> None:
        """Paths that an upgrade or a directory changes are none to write down."""
        assert command.is_stable(path) is stable
