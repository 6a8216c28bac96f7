"""The value of credential_process: one command for all SDKs, by a path that lasts."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess

import pytest
from botocore.compat import _windows_shell_split

from credhelper.awsconfig import block, command
from credhelper.awsconfig.block import Entry
from credhelper.awsconfig.ini import IniFile
from credhelper.errors import ConfigError

import requirements
from blocks import ENVELOPE, resolved, script, write
from sandbox import PROGRAM


def go_v2(value):
    r"""How the SDK for Go v2 reads a value (internal/ini/strings.go): comments anywhere, \n a line end."""
    value = re.split("[#;]", value)[0].strip(" \t")
    if len(value) > 2 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return value.replace('\\"', '"').replace("\\'", "'").replace("\\n", "\n")


def go_v1(value):
    """How the SDK for Go v1 reads a value (internal/ini): what is quoted at its beginning is all of it."""
    return value[1:].partition('"')[0] if value.startswith('"') else re.split("[#;,]", value)[0].rstrip()


def javascript(value):
    """How the SDK for JavaScript reads a value (parseIni.ts)."""
    return re.split(r"(?:^|\s)[;#]", value)[0].strip()


READERS = (str, go_v1, go_v2, javascript)


def cmd_exe(line):
    """What a program gets that `cmd.exe /d /s /c "LINE"` starts, by cmd's rules and then the C runtime's."""
    assert not set(line) & set('"%&|<>()^!\n'), "quotes do not survive everywhere, the others mean something"
    program = re.split(r"[ \t,;=/]", line)[0]  # what ends a command's name
    words = _windows_shell_split(line)
    assert words[0] == program
    return words


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/home/me/.local/bin/credhelper-get", "/home/me/.local/bin/credhelper-get a@b"),
        ("/Users/A B/bin/credhelper-get", '/"Users/A B/bin/credhelper-get" a@b'),
        ("/Users/büro/bin/credhelper-get", "/Users/büro/bin/credhelper-get a@b"),
        ("/Vol/Ben's (2) & co/get", '/"Vol/Ben\'s (2) & co/get" a@b'),
    ],
)
def test_path_is_quoted_only_where_needed_and_never_at_the_beginning(path, line):
    assert command.command_line((path,), "a@b") == line


def test_every_character_reaches_every_sdk_unchanged_or_is_refused():
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
def test_real_shell_starts_the_program_with_its_name(tmp_path, shell, directory):
    path = requirements.program(shell)
    program = script(tmp_path / directory / "credhelper-get", 'printf "%s\\n" "$@"')
    line = command.command_line((str(program), "get"), "n+a.m=e@t")
    done = subprocess.run([path, "-c", line], check=True, capture_output=True, text=True)
    assert done.stdout == "get\nn+a.m=e@t\n"


@pytest.mark.parametrize("directory", ["plain", "with space", "Ben's (2) & co  x", "büro~1"])
def test_botocore_runs_the_command_of_a_written_profile(tmp_path, config, directory):
    program = script(tmp_path / directory / "credhelper-get", f"echo '{json.dumps(ENVELOPE)}'; test $# = 1")
    entry = Entry("a@b", command.command_line((str(program),), "a@b"))
    write(config, block.with_block(IniFile("config", b""), [entry]))
    assert resolved(config, "a@b") == ("custom-process", "AKIAPROCESS")


@pytest.mark.parametrize(
    "path", ["bin/credhelper-get", "./x", "a b", "-x", "~/x", "", "/ends in space ", "/a\nb"]
)
def test_path_that_a_splitter_would_cut_is_refused(path):
    with pytest.raises(ConfigError) as caught:
        command.command_line((path,), "name")
    assert "no quoting of" in caught.value.sentence


@pytest.mark.parametrize("windows", [False, True])
def test_bare_name_needs_no_path(windows):
    assert command.command_line(("credhelper", "get"), "a@b", windows=windows) == "credhelper get a@b"


def test_windows_path_passes_cmd_and_every_sdk_or_is_refused():
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


@pytest.fixture
def root(tmp_path):
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


def found(root, *places):
    """The program that is found in these places, which are searched in turn."""
    directories = [str(root / place) for place in places]
    words = command.stable_program(directories, lambda path: command.answers_version(path, os.environ))
    return " ".join(words).replace(f"{root}/", "")


@pytest.mark.parametrize("stable", ["local/bin", "brew/bin"])
@pytest.mark.parametrize("unstable", ["venv/bin", "Cellar/credhelper/1.2.3/bin"])
def test_stable_link_is_preferred_and_not_resolved(root, stable, unstable):
    assert found(root, unstable, "none", stable) == f"{stable}/credhelper-get"
    assert found(root, stable, unstable) == f"{stable}/credhelper-get"


def test_first_stable_program_on_the_path_or_else_an_unstable_one_is_taken(root):
    assert found(root, "brew/bin", "local/bin") == "brew/bin/credhelper-get"
    assert found(root, "venv/bin") == "venv/bin/credhelper-get"
    assert not command.is_stable(str(root / "venv/bin/credhelper-get"))


@pytest.mark.parametrize(
    "launcher",
    [
        "echo credhelper 1; exit 1",
        "echo something else",
        "sleep 3; echo credhelper",
        None,
        "not executable",
    ],
)
def test_launcher_that_does_not_answer_is_skipped(root, monkeypatch, launcher):
    monkeypatch.setattr(command, "ANSWER_SECONDS", 0.3)
    path = root / "local/bin/credhelper-get"
    path.unlink()
    if launcher:
        script(path, launcher)
    if launcher == "not executable":
        path.chmod(0o644)
    assert found(root, "local/bin", "venv/bin") == "local/bin/credhelper get"


def test_without_a_usable_program_the_bare_name_is_written(root):
    script(root / "a$b" / "credhelper-get", "echo credhelper 1")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root / "local/bin")
        words = command.stable_program(["", ".", str(root / "a$b")], lambda _path: True)
    assert words == ("credhelper", "get")


def test_path_with_a_space_on_windows_becomes_the_bare_name(tmp_path):
    script(tmp_path / "a b" / "credhelper.exe", "")
    words = command.stable_program([str(tmp_path / "a b")], lambda _path: True, windows=True)
    assert words == ("credhelper", "get")


def test_installed_program_answers():
    assert command.answers_version(PROGRAM, {"PATH": "/usr/bin:/bin"})


STABLE = ["home/me/.local", "opt/homebrew", "home/me/.nix-profile", "home/me/.pyenv/versions/3.13.0"]
UNSTABLE = ["opt/homebrew/Cellar/credhelper/1.0/bin", "nix/store/abc-credhelper/bin", "home/me/.pyenv/shims"]


def test_path_that_an_upgrade_or_a_directory_changes_is_unstable():
    for place in STABLE:
        assert command.is_stable(f"/{place}/bin/credhelper-get"), place
    for place in UNSTABLE:
        assert not command.is_stable(f"/{place}/credhelper-get"), place
