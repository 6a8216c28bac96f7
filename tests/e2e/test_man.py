"""The man page says what --help says, and roff finds no fault in it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from credhelper.cli import main
from credhelper.cli.options import ENVIRONMENT
from credhelper.config import keys
from credhelper.errors import BY_STATUS

import requirements

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "packaging/man/credhelper.1"


@pytest.fixture(scope="module", name="render")
def _render() -> ModuleType:
    """The script that makes it."""
    spec = importlib.util.spec_from_file_location("render", ROOT / "packaging/man/render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", name="shown")
def _shown() -> str:
    """The page as `man` shows it on 80 columns."""
    done = subprocess.run(
        [requirements.program("groff"), "-man", "-Tascii", "-P-cbou", "-rLL=78n", PAGE],
        capture_output=True,
        text=True,
        check=True,
    )
    return re.sub(r".\x08", "", done.stdout)


def test_page_is_what_make_man_writes(render: ModuleType) -> None:
    assert PAGE.read_text(encoding="utf-8") == render.page(), "run 'make man'"


def test_groff_and_mandoc_find_no_fault(shown: str) -> None:
    for command in (
        ["groff", "-man", "-ww", "-z", "-Tascii"],
        [requirements.program("mandoc"), "-Tlint", "-Wwarning"],
    ):
        done = subprocess.run([*command, PAGE], capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("", "")


def test_page_has_every_command_flag_exit_status_and_variable(shown: str) -> None:
    ctx = click.Context(main.program)
    for verb in main.program.list_commands(ctx):
        command = main.program.get_command(ctx, verb)
        assert command is not None
        assert re.search(rf"^   credhelper {verb}\b", shown, re.MULTILINE)
        for option in command.params:
            flags = [flag for flag in option.opts if flag.startswith("--") and flag != "--help"]
            assert all(flag in shown for flag in flags), (verb, flags)
    assert all(key.flag in shown for key in keys.KEYS)
    assert all(re.search(rf"^       {status}      \S", shown, re.MULTILINE) for status in (0, *BY_STATUS))
    assert all(name in shown for name in ENVIRONMENT)


def test_profile_flags_are_listed_once(shown: str) -> None:
    assert shown.count("--confirm-for") == 1
    assert "credhelper assume-role [OPTIONS]\n" in shown
    assert "credhelper get [OPTIONS] NAME [PROFILE FLAGS]" in shown


@pytest.mark.parametrize(
    "text", [".dot", "'quote", "a\\fBb", "--flag", "it's `x` ~ ^", "a\n\n\b\nExamples:\n  .kept 'as' \\it is"]
)
def test_roff_syntax_in_help_is_text(render: ModuleType, text: str) -> None:
    page = "\n".join([".TH X 1", ".SH Y", *render._prose(text)]) + "\n"
    done = subprocess.run(
        [requirements.program("groff"), "-man", "-Tascii", "-P-cbou"],
        input=page,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.strip() for line in re.sub(r".\x08", "", done.stdout).splitlines()]

    assert set(filter(None, map(str.strip, text.replace("\b", "").splitlines()))) <= set(lines)


def test_variables_are_those_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    told = {"CREDHELPER_PROFILE", "CREDHELPER_ACCOUNT"}  # set for commands, not read
    assert set(ENVIRONMENT) == set(re.findall(r"CREDHELPER_[A-Z]+", readme)) - told
