"""The documents match the program."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from credhelper import __version__, errors
from credhelper.cli import main
from credhelper.config import profiles
from credhelper.config.keys import BY_NAME
from credhelper.config.toml import tomllib

ROOT = Path(__file__).parents[2]
PAGES = tuple(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", *PAGES)


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_readme_has_fewer_than_200_lines() -> None:
    assert len(_read("README.md").splitlines()) < 200


def test_every_configuration_in_the_readme_is_valid(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", _read("README.md"), re.DOTALL)
    assert blocks
    for block in blocks:
        path = tmp_path / "config.toml"
        path.write_text(block, encoding="utf-8")
        loaded = profiles.load(str(path))
        for name in loaded.names:
            is_open = "target_principal" not in loaded.table("profiles")[name] and name.endswith("root")
            loaded.profile(f"{name}@payments-prod" if is_open else name)


def _commands(text: str) -> list[list[str]]:
    """The credhelper commands in a document: in the text, and in blocks to be copied."""
    lines = re.findall(r"`credhelper ([a-z][^`\n]*)`", text)
    for block in re.findall(r"```(?:console|sh)?\n(.*?)```", text, re.DOTALL):
        lines += re.findall(r"^(?:\$ )?(?:[^#|\n]*\| )?credhelper ([a-z][^\n]*)", block, re.MULTILINE)
    return [re.split(r" -- | \| | [<>#(]", line)[0].split() for line in lines]


def test_every_command_and_flag_in_the_documents_exists() -> None:
    for document in DOCUMENTS:
        for verb, *rest in _commands(_read(document)):
            command = main.program.get_command(click.Context(main.program), verb)
            assert command is not None, (document, verb)
            if isinstance(command, click.Group) and rest and rest[0].isalpha():
                command = command.commands[rest.pop(0)]
            known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
            flags = {word.partition("=")[0] for word in rest if re.match("--[a-z]", word)}
            assert flags <= known, (document, verb, rest)


def test_the_readme_names_the_variables_that_are_read() -> None:
    source = "".join(path.read_text() for path in (ROOT / "credhelper").rglob("*.py"))
    named = set(re.findall(r"CREDHELPER_[A-Z]+", _read("README.md")))
    read = set(re.findall(r'"(CREDHELPER_[A-Z]+)"', source)) - {"CREDHELPER_CHAIN"}  # for the loop guard

    assert named == read


def test_every_file_and_link_in_the_documents_exists() -> None:
    for document in DOCUMENTS:
        text = _read(document)
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("https://") or (ROOT / target).exists(), (document, target)
        for module in re.findall(r"`([a-z_/]+\.py)`", text):
            assert (ROOT / "credhelper" / module).exists(), (document, module)


def test_keys_in_the_documents_are_keys_of_the_configuration() -> None:
    sections = {"accounts", "defaults", "profiles", "agent", "audit", "keyring"}
    for word in re.findall(r"`([a-z]+_[a-z_]+)`", _read("README.md") + _read("CHANGELOG.md")):
        assert word in BY_NAME or word in sections | {"credential_process"}, word


def test_the_changelog_has_this_version() -> None:
    assert f"## [{__version__}]" in _read("CHANGELOG.md")


@pytest.mark.parametrize("status", sorted(errors.BY_STATUS))
def test_every_exit_status_of_an_error_is_in_the_help(status: int) -> None:
    assert re.search(rf"^  {status}  \S", main.EXIT_STATUSES, re.MULTILINE)


def test_no_document_has_a_path_of_a_developers_machine() -> None:
    project = tomllib.loads(_read("pyproject.toml"))["project"]

    assert project["requires-python"] == ">=3.10"
    for document in DOCUMENTS:
        assert not re.search(r"/(root|work|tmp)/", _read(document)), document


def test_every_dependency_is_pinned_and_no_registry_is_named() -> None:
    project = tomllib.loads(_read("pyproject.toml"))
    pins = _read("constraints.txt")
    groups = project["dependency-groups"]
    wanted = [*project["project"]["dependencies"], *groups["test"], *groups["lint"], "awscli"]
    names = {re.split(r"[^\w-]", requirement)[0].lower() for requirement in wanted}

    assert names <= set(re.findall(r"(?m)^([\w-]+)==", pins))
    assert "/" not in pins
