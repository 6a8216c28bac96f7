"""What `env` prints is read back as exactly what was meant, by the shells themselves."""

from __future__ import annotations

import io
import itertools
import json
import os
import pty
import random
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import dotenv
import pytest

from credhelper.errors import ConfigError
from credhelper.run import shell_formats

import requirements

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CURLY = "\u2018a\u2019b\u201ac\u201bd"
PLAIN = "FwoGZXIvYXdzEBYaD/+=abc"

HOSTILE = [
    "", " ", " leading and trailing ", "-n", "--", "-gx EVIL x", "$(touch pwned)", "`touch pwned`",
    "${HOME}", "$HOME", "$$", "(touch pwned)", "{a,b}", "~", "~root", "=ls", "==", "*", "/etc/*", "[a-z]?",
    "a;touch pwned", "a&touch pwned", "a|touch pwned", "a>pwned", "#comment", "a #comment", "!!", "!ls",
    "%PATH%", "%i", "^", "a^&b", "'", "''", "a''b", "'; touch pwned; '", "\\'; touch pwned; \\'", '"',
    '"; touch pwned; "', "\\", "\\\\", "a\\", "\\n", "\\x41", "\\u0041", "export A=b", "=", "a=b",
    "\u2018; touch pwned; \u2019", "\u201a\u201b", "grün", "日本語", "\U0001f511", "\ufeffbom", "\u202etxt",
    "\u2028", "\uf641",
]  # fmt: skip
"""U+F641 is where fish keeps bytes that are no characters."""
LINES = ["\n", "a\n", "\na", "a\nb", "a\ntouch pwned\n", "'\ntouch pwned\n'", "a\n\n\nb", "\\\n", "EOF\n"]
CONTROLS = [
    "\t", "a\tb", "\r", "a\r\nb", "\x1b[31m", "\x1b[201~touch pwned\r", "\x03", "\x7f", "\x85", "\x9b2J",
]  # fmt: skip

REFUSED = {  # what a form cannot carry, of all of the above; everything else it must
    "sh": "\t\r\x1b\x03\x7f\x85\x9b",
    "fish": "\uf641",
    "powershell": "",
    "cmd": '\n\t\r\x1b\x03\x7f\x85\x9b"%!\u2018\u2019\u201a\u201bü日本語\U0001f511\ufeff\u202e\u2028\uf641',
    "dotenv": "\t\r\x1b\x03\x7f\x85\x9b'\\$",
    "docker": "\n\t\r\x1b\x03\x7f\x85\x9b",
    "json": "",
}


def _random_values() -> list[str]:
    chance = random.Random(4711)
    pieces = [*"'\"\\$`!%^&|;<>(){}[]*?~#= \n-=ab,", "$(", "''", "\\'", "é", "\U0001f511"]
    return ["".join(chance.choices(pieces, k=chance.randint(1, 12))) for _ in range(300)]


def _carried(form: str, values: Iterable[str]) -> dict[str, str]:
    """Those values that the form is to carry, each under a name of its own."""
    return {
        f"V{number}": value
        for number, value in enumerate(values)
        if not any(character in REFUSED[form] for character in value)
    }


DUMP = "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))"


def _script(directory: Path, text: str, shell: list[str], script: str) -> dict[str, str]:
    """The environment of a program that a shell starts after it has read `text`."""
    (directory / "text").write_text(text, encoding="utf-8")
    (directory / "dump.py").write_text(DUMP)
    environ = {"PATH": os.environ["PATH"], "HOME": str(directory), "LANG": "C.UTF-8"}
    command = [requirements.program(shell[0]), *shell[1:], "-c", script]
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    return _dumped(directory)


def _dumped(directory: Path) -> dict[str, str]:
    assert not list(directory.glob("pwned"))
    environ: dict[str, str] = json.loads((directory / "out").read_text())
    return environ


THEN = "exec python3 dump.py out"
READ_BACK = [
    ("sh", ["dash"], f". ./text && {THEN}"),
    ("sh", ["dash"], f'eval "$(cat text)" && {THEN}'),
    ("sh", ["bash"], f". ./text && {THEN}"),
    ("sh", ["zsh", "-f"], f". ./text && {THEN}"),
    ("sh", ["zsh", "-f", "-o", "rcquotes", "-o", "extendedglob"], f". ./text && {THEN}"),
    ("fish", ["fish", "--no-config"], f"source text; and {THEN}"),
    ("fish", ["fish", "--no-config"], f"cat text | source; and {THEN}"),
    ("fish", ["fish", "--no-config"], f"eval (cat text); and {THEN}"),
    ("dotenv", ["dash"], f"set -a; . ./text && {THEN}"),
    ("dotenv", ["bash"], f"set -a; . ./text && {THEN}"),
]


@pytest.mark.parametrize(("form", "shell", "script"), READ_BACK)
def test_shell_reads_values_back(tmp_path, form, shell, script) -> None:
    values = _carried(form, [PLAIN, *HOSTILE, *LINES, *CONTROLS, *_random_values()])
    environ = _script(tmp_path, shell_formats.render(values, form), shell, script)

    assert {name: environ.get(name) for name in values} == values
    assert len(values) > 100


@pytest.mark.parametrize(
    ("form", "command"),
    [
        *(("sh", command) for command in ("bash --norc --noprofile -i", "zsh -f -i", "dash -i")),
        ("fish", "fish --no-config -i"),
    ],
)
def test_pasted_assignments_run_nothing(tmp_path, form, command) -> None:
    values = _carried(form, [PLAIN, *HOSTILE, *LINES, *CONTROLS])
    (tmp_path / "dump.py").write_text(DUMP)
    shell, *options = command.split()
    program = requirements.program(shell)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", "TERM": "dumb"}
        os.execve(program, [shell, *options], environ)
    assert select.select([terminal], [], [], 10)[0]  # the prompt
    time.sleep(0.3)
    text = "echo first\n" + shell_formats.render(values, form) + "python3 dump.py out\nexit\n"
    for line in text.splitlines(keepends=True):  # a terminal takes no more than a page at once
        _type(terminal, line.encode())
    ended = _has_ended(terminal)
    os.close(terminal)
    if not ended:
        os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == 0
    environ = _dumped(tmp_path)

    assert {name: environ.get(name) for name in values} == values


def _type(terminal: int, data: bytes) -> None:
    while data:
        readable, writable, _ = select.select([terminal], [terminal], [], 10)
        if readable:
            os.read(terminal, 65536)
        if writable:
            data = data[os.write(terminal, data[:512]) :]


def _has_ended(terminal: int) -> bool:
    """Whether the shell closes its end, after so much output as there may be."""
    try:
        while select.select([terminal], [], [], 5)[0]:
            os.read(terminal, 65536)
    except OSError:  # EIO: it is closed
        return True
    return False


def test_python_dotenv_and_node_read_values_back(tmp_path) -> None:
    values = _carried("dotenv", [PLAIN, *HOSTILE, *LINES, *_random_values()])
    text = shell_formats.render(values, "dotenv")
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    program = (
        "console.log(JSON.stringify(require('util').parseEnv(require('fs').readFileSync('.env','utf8'))))"
    )

    for interpolate in (True, False):
        assert dotenv.dotenv_values(stream=io.StringIO(text), interpolate=interpolate) == values
    assert len(values) > 100
    node = requirements.program("node")
    done = subprocess.run(
        [node, "-e", program], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    if "parseEnv is not a function" in done.stderr:
        pytest.skip("this Node is older than 20.12")
    assert json.loads(done.stdout) == values


def test_docker_reads_values_back() -> None:
    values = _carried("docker", [PLAIN, *HOSTILE, *_random_values()])
    lines = shell_formats.render(values, "docker").split("\n")

    assert lines.pop() == ""
    assert dict(line.split("=", 1) for line in lines) == values
    assert len(values) > 100


def test_json_carries_every_value() -> None:
    values = _carried("json", [PLAIN, *HOSTILE, *LINES, *CONTROLS])
    text = shell_formats.render(values, "json")

    assert json.loads(text) == values
    assert (text.isascii(), text.count("\n"), text[-1]) == (True, 1, "\n")


@pytest.mark.parametrize(
    ("form", "value", "line"),
    [
        ("powershell", PLAIN, f"$env:A = '{PLAIN}'"),
        ("powershell", "", "$env:A = ''"),
        ("powershell", "it's", "$env:A = 'it''s'"),
        ("powershell", CURLY, "$env:A = '\u2018\u2018a\u2019\u2019b\u201a\u201ac\u201b\u201bd'"),
        ("powershell", '$(x) `n $env:B " # ;', "$env:A = '$(x) `n $env:B \" # ;'"),
        ("powershell", "a\nrm x", "$env:A = 'a' + [char]10 + 'rm x'"),
        ("powershell", "\x1b\x9b", "$env:A = '' + [char]27 + '' + [char]155 + ''"),
        ("cmd", PLAIN, f'set "A={PLAIN}"'),
        ("cmd", "", 'set "A="'),
        ("cmd", " a ", 'set "A= a "'),
        ("cmd", "a&b|c<d>e^f(g)", 'set "A=a&b|c<d>e^f(g)"'),
        ("cmd", "it's `x` $(y) \\", 'set "A=it\'s `x` $(y) \\"'),
    ],
)
def test_powershell_doubles_quotes_and_cmd_value_is_literal(form, value, line) -> None:
    assert shell_formats.render({"A": value}, form) == line + "\n"


@pytest.mark.parametrize("form", ["fish", "powershell", "cmd", "docker", "json"])
def test_value_never_adds_a_line(form) -> None:
    values = _carried(form, [PLAIN, *HOSTILE, *LINES, *CONTROLS])

    assert shell_formats.render(values, form).count("\n") == (1 if form == "json" else len(values))


@pytest.mark.parametrize("form", shell_formats.FORMS)
def test_value_that_a_format_cannot_carry_is_an_error(form) -> None:
    for character in (*REFUSED[form], "\0", "\udc80"):
        with pytest.raises(ConfigError) as caught:
            shell_formats.render({"A": "fine", "AWS_SESSION_TOKEN": f"SECRET{character}"}, form)

        assert "'AWS_SESSION_TOKEN'" in str(caught.value)
        assert f"'{form}' cannot carry safely" in str(caught.value)
        assert "SECRET" not in str((caught.value, caught.value.hints))


@pytest.mark.parametrize("name", ["", "A B", "A=B", "A;x", "1A", "Ä", "A\n", "-A", "A-B"])
@pytest.mark.parametrize("form", shell_formats.FORMS)
def test_bad_variable_name_is_refused(name, form) -> None:
    with pytest.raises(ConfigError, match="is not a name for an environment variable"):
        shell_formats.render({name: "x"}, form)


def test_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        shell_formats.render({}, "tcsh")

    assert caught.value.sentence == "'tcsh' is not a format"
    assert caught.value.hints == ("one of sh, fish, powershell, cmd, dotenv, docker, json",)


def test_order_is_kept() -> None:
    names = ["B", "A", "C"]
    for form, count in itertools.product(shell_formats.FORMS, (0, 3)):
        text = shell_formats.render(dict.fromkeys(names[:count], "x"), form)

        assert [text.index(name) for name in names[:count]] == sorted(text.index(n) for n in names[:count])
