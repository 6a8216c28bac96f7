"""Completion in the real shells: verbs, flags, profiles, and the accounts that open profiles are aimed at."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import credhelper
from credhelper.cli import completers, main

import requirements
from sandbox import AWS_CONFIG, PROFILES, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPTS = Path(credhelper.__file__).parent / "completions"
EVIL = '$(touch owned) `touch owned` %F{red};\\ \x1b[2J\t\n[red]: it\'s "x"'
CONFIG = f"""{PROFILES}
[profiles."a=b.c"]
role_arn = "arn:aws:iam::222233334444:role/Equal"

[profiles.evil]
role_arn = "arn:aws:iam::222233334444:role/Evil"
description = {json.dumps(EVIL)}

[profiles.{json.dumps("x" + EVIL)}]
role_arn = "arn:aws:iam::222233334444:role/Evil"
"""
LINES = [
    ("credhelper stat", "credhelper status "),
    ("credhelper get dev", "credhelper get developer "),
    ("credhelper-get dev", "credhelper-get developer "),
    ("credhelper get aud", "credhelper get audit-root@"),
    ("credhelper get audit-root@pay", "credhelper get audit-root@payments-prod "),
    ("credhelper get a=", "credhelper get a=b.c "),
    ("credhelper get --task-policy-arn S3", "credhelper get --task-policy-arn S3UnlockBucketPolicy "),
    ("credhelper log --account pay", "credhelper log --account payments-prod "),
    ("AWS_REGION=x credhelper get dev", "AWS_REGION=x credhelper get developer "),
    ("true | credhelper get dev", "true | credhelper get developer "),
    ('credhelper get "dev', 'credhelper get "developer" '),
    ("credhelper get --ca-bundle certif", "credhelper get --ca-bundle certificates.pem "),
    ("credhelper get --source-profile org", "credhelper get --source-profile org-admin "),
    ("credhelper get developer nothin", None),
]
"""What is typed, and the line after the Tab key; None: as it was."""
AFTER = {line: after or line for line, after in LINES}


@pytest.fixture(scope="module", name="desk")
def _desk(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A sandbox for all tests: nothing here changes it."""
    desk = Sandbox(tmp_path_factory.mktemp("desk") / "home")
    desk.configure(CONFIG)
    desk.aws_config(f'{AWS_CONFIG}[profile "org-$(touch owned)"]\nregion = x\n')
    (desk.home / "certificates.pem").touch()
    desk.environ |= {"TERM": "dumb", "PS1": "$ ", "INPUTRC": "/dev/null", "ZDOTDIR": str(desk.home)}
    return desk


class Terminal:
    """An interactive shell on a terminal."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._mark = 0

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def read(self, until: str, seconds: float = 30) -> str:
        """What is shown up to the first match."""
        seen, ends = "", time.monotonic() + seconds
        while not (match := re.search(until, seen)):
            assert time.monotonic() < ends, seen
            if select.select([self._terminal], [], [], 0.1)[0]:
                seen += os.read(self._terminal, 65536).decode(errors="replace")
        return seen[: match.end()]

    def run(self, line: str) -> None:
        """Run a command and wait for it; what it prints is not on the line that has been typed."""
        self._mark += 1
        self.type(f"{line}; echo do''ne{self._mark}\r")
        self.read(f"done{self._mark}\r*\n")


@contextmanager
def terminal(desk: Sandbox, *command: str) -> Iterator[Terminal]:
    """A shell, ended at the end."""
    pid, descriptor = pty.fork()
    if pid == 0:
        os.chdir(desk.home)
        os.execve(command[0], command, desk.environ)
    try:
        yield Terminal(descriptor)
    finally:
        os.close(descriptor)
        os.waitpid(pid, 0)


def completed(shell: Terminal, line: str) -> str:
    """The line as it is after Tab; Ctrl-X Ctrl-Y makes the shell say what it has."""
    shell.type(f"{line}\t\x18\x19")
    return shell.read(r"<<(?s:.*?)>>").rpartition("<<")[2][:-2]


def run_script(desk: Sandbox, program: str, *words: str) -> str:
    """What a shell prints that runs a script; nothing goes to stderr."""
    command, environ = [requirements.program(program), *words], desk.environ
    done = subprocess.run(command, env=environ, cwd=desk.home, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def complete(desk: Sandbox, *words: str) -> str:
    """What zsh is told for a line that ends with the last of these words."""
    return desk.prints("complete", "zsh", "--", "credhelper", *words)


class TestBash:
    """`bash`, with nothing but itself."""

    @pytest.fixture(name="shell")
    def _shell(self, desk: Sandbox) -> Iterator[Terminal]:
        with terminal(desk, requirements.program("bash"), "--norc", "-i") as shell:
            shell.run("source <(credhelper completion bash)")
            shell.run("""reveal() { printf '<<%s>>' "$READLINE_LINE"; READLINE_LINE= READLINE_POINT=0; }""")
            shell.run("""bind -x '"\\C-x\\C-y": reveal'; bind 'set bell-style none'""")
            yield shell

    def test_tab_completes_the_line(self, shell: Terminal) -> None:
        assert {line: completed(shell, line) for line, _ in LINES} == AFTER

    def test_bash_3_completes_and_prints_nothing(self, desk: Sandbox) -> None:
        script = (
            "compopt() { return 127; }\n"
            'complete() { case "$*" in *nosort*) return 2 ;; *) builtin complete "$@" ;; esac; }\n'
            "source <(credhelper completion bash)\n"
            "COMP_LINE='credhelper get aud' COMP_POINT=18\n"
            '_credhelper credhelper aud get; echo "${COMPREPLY[*]}"; complete -p credhelper-get'
        )
        said = run_script(desk, "bash", "-c", script)
        assert said == "audit-root@\ncomplete -F _credhelper credhelper-get\n"


class TestZsh:
    """`zsh`, its function found by its name in fpath, as it is installed."""

    @pytest.fixture(name="shell")
    def _shell(self, desk: Sandbox) -> Iterator[Terminal]:
        functions = desk.home / "zfunc"
        functions.mkdir(exist_ok=True)
        (functions / "_credhelper").write_bytes(desk.run("completion", "zsh").stdout)
        with terminal(desk, requirements.program("zsh"), "-f", "-i") as shell:
            shell.run("PS1='$ '; unsetopt beep zle_bracketed_paste; fpath=(~/zfunc $fpath)")
            shell.run("autoload -Uz compinit; compinit -u -D")
            shell.run(
                """reveal() { print -n "<<$BUFFER>>"; BUFFER= }; zle -N reveal; bindkey '^X^Y' reveal"""
            )
            yield shell

    def test_tab_completes_the_line(self, shell: Terminal) -> None:
        assert {line: completed(shell, line) for line, _ in LINES} == AFTER

    def test_description_of_a_profile_is_text(self, shell: Terminal) -> None:
        shell.type("credhelper get \t")
        shown = shell.read("evil +-- .*\n")
        shell.type("\x15")

        assert re.search(r"developer +-- role/Developer", shown)
        assert re.search(r"evil +-- \$\(touch owned\) `touch owned` %F\{red\};\\ \\x1b\[2J\\x09", shown)
        assert "\x1b[2J" not in shown

    def test_script_sourced_after_compinit_works(self, desk: Sandbox) -> None:
        """`source <(credhelper completion zsh)` behind compinit does, too."""
        script = (
            "autoload -Uz compinit; compinit -u -D; source <(credhelper completion zsh); "
            "print $_comps[credhelper-get]"
        )
        assert run_script(desk, "zsh", "-f", "-c", script) == "_credhelper\n"


class TestFish:
    """`fish`, with the script where it looks for it."""

    def test_tab_completes_the_line(self, desk: Sandbox) -> None:
        """fish itself adds no space after an @."""
        place = desk.home / ".config/fish/completions"
        place.mkdir(parents=True)
        for name in ("credhelper", "credhelper-get"):
            (place / f"{name}.fish").write_bytes(desk.run("completion", "fish").stdout)
        lines = [line for line, _ in LINES if '"' not in line] + ["credhelper get "]
        script = "".join(f"echo '<<{line}>>'; complete -C '{line}';" for line in lines)
        parts = re.split(r"<<(.*)>>\n", run_script(desk, "fish", "-c", script))[1:]
        said = {
            line: dict(row.split("\t") if "\t" in row else (row, "") for row in rows.splitlines())
            for line, rows in zip(parts[::2], parts[1::2], strict=True)
        }

        names = said.pop("credhelper get ")
        for line, words in said.items():
            assert list(words) == ([] if AFTER[line] == line else [AFTER[line].split()[-1]]), line
        assert list(names) == ["unlock-bucket", "audit-root@", "developer", "a=b.c", "evil"]
        assert names["developer"] == "role/Developer"
        assert names["evil"].startswith("$(touch owned)")


class TestTheAnswers:
    """What the shells are told."""

    @pytest.mark.parametrize("text", ["[profiles\n", "\xff\xfe", "profiles = 5\naccounts = []\n", None])
    def test_unreadable_configuration_completes_commands_only(self, tmp_path: Path, text: str | None) -> None:
        sandbox = Sandbox(tmp_path / "home")
        if text is not None:
            sandbox.configure("")
            sandbox.config.write_bytes(text.encode("latin-1"))

        assert complete(sandbox, "get", "") == ""
        assert complete(sandbox, "stat").startswith("plain\tstatus\t")

    @pytest.mark.parametrize(
        "words", [[], [""], ["credhelper", "get", "--", ""], ["--", "-x"], ["no", "such", "x"]]
    )
    def test_invalid_line_ends_without_an_error(self, desk: Sandbox, words: list[str]) -> None:
        assert desk.run("complete", "fish", "--", *words).status == 0

    def test_help_version_and_names_are_not_run(self, desk: Sandbox) -> None:
        for words in (["--version", "get", ""], ["get", "--help", "dev"]):
            said = complete(desk, *words)
            assert said.count("\t") == 2 * said.count("\n") > 0
        assert not list(desk.home.rglob("owned"))

    def test_candidates_have_no_character_with_a_meaning_for_shells(self, desk: Sandbox) -> None:
        aws_config = str(desk.home / ".aws/config")
        environ = {"CREDHELPER_CONFIG": str(desk.config), "AWS_CONFIG_FILE": aws_config}
        words = [
            *completers.sources(environ, ""),
            *completers.profiles(environ, "", bare=True),
            *completers.accounts(environ, ""),
        ]

        assert "org-admin" in {word.value for word in words}
        assert all(re.fullmatch(r"[A-Za-z0-9._+=@-]+", word.value) for word in words)

    @pytest.mark.parametrize(
        "command", ["get", "login", "exec", "env", "setup", "explain", "clear", "doctor"]
    )
    def test_every_command_with_a_profile_completes_its_name(self, desk: Sandbox, command: str) -> None:
        assert complete(desk, command, "dev") == "plain\tdeveloper\trole/Developer\n"

    @pytest.mark.parametrize("words", ["key remove m", "key rotate m", "get developer --source-key m"])
    def test_saved_keys_come_from_the_index(self, tmp_path: Path, words: str) -> None:
        sandbox = Sandbox(tmp_path / "home")
        sandbox.configure(CONFIG)
        sandbox.list_saved_key("me", "AKIAME")

        assert complete(sandbox, *words.split()) == "plain\tme\tAKIAME\n"

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("exec audit-root --accounts pay", "plain\tpayments-prod\t111122223333"),
            ("exec audit-root --accounts 111122223333,pay", "plain\t111122223333,payments-prod\t1111"),
            ("exec developer -- ec", "file\t\t"),
            ("assume-root --target-principal pay", "plain\tpayments-prod\t111122223333"),
            ("assume-root --task-policy-arn S3", "plain\tS3UnlockBucketPolicy\tdelete a bucket policy"),
            ("get developer --cache f", "plain\tfalse\t"),
            ("setup audit-roo", "plain\taudit-root\tIAMAuditRootUserCredentials"),
        ],
    )
    def test_values_of_options_and_files_after_dashes(self, desk: Sandbox, words: str, said: str) -> None:
        assert complete(desk, *words.split()).startswith(said)

    def test_ten_thousand_profiles_take_a_few_times_as_long_as_one(self, tmp_path: Path) -> None:
        sandbox = Sandbox(tmp_path / "home")
        seconds = []
        for count in (1, 10_000):
            sandbox.configure("".join(f'[profiles.p{number}]\nrole_arn = "x"\n' for number in range(count)))
            before = os.times()
            said = complete(sandbox, "get", "p99")
            after = os.times()
            seconds.append(after.children_user - before.children_user)

        assert said.count("\n") == 111
        assert seconds[1] < 10 * seconds[0]


def test_completion_prints_a_script_without_syntax_errors(desk: Sandbox) -> None:
    for shell in ("bash", "zsh", "fish"):
        script = SCRIPTS / f"credhelper.{shell}"
        assert desk.run("completion", shell).stdout == script.read_bytes()
        if shutil.which(shell):
            subprocess.run([shell, "-n", script], check=True)
    assert "is not one of 'bash', 'zsh', 'fish'" in desk.refuses(2, "completion", "tcsh")
    assert "missing argument 'SHELL'. Choose from: bash, zsh, fish\n" in desk.refuses(2, "completion")


def test_every_command_is_in_one_section_of_the_help() -> None:
    ctx = click.Context(main.program)
    grouped = [verb for verbs in main.SECTIONS.values() for verb in verbs]
    text = main.program.get_help(ctx)

    assert sorted(set(grouped)) == sorted(grouped)
    assert set(main.program.list_commands(ctx)) <= set(grouped)
    assert not re.search(r"^  (complete|renew) ", text, re.MULTILINE)
