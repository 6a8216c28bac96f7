"""docs/json.md describes what --json prints, for every verb that has it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import click
import jsonschema
import pytest

from credhelper.cli import main

import shapes
import sts_faults as faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Sandbox
    from sts import LoopbackSts


def _described() -> list[str]:
    return re.findall(r"^## `credhelper (.*) --json`$", shapes.DOCUMENT.read_text(), re.MULTILINE)


def _with_json(command: click.Command, name: str) -> Iterator[str]:
    if any("--json" in option.opts for option in command.params):
        yield name
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for verb in command.list_commands(ctx):
            found = command.get_command(ctx, verb)
            assert found is not None
            yield from _with_json(found, f"{name} {verb}".strip())


def test_every_verb_is_described() -> None:
    """None is forgotten, and none that is described has gone."""
    assert sorted(name.removesuffix(" NAME") for name in _described()) == sorted(_with_json(main.program, ""))


def test_log(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """Each line: of a session minted, and of one refused."""
    sandbox.get("unlock-bucket", "--reason", "T-1")
    sts.mode = faults.refuse("AccessDenied", "no")
    sandbox.refuses(4, "get", "developer")
    lines = sandbox.run("log", "--json").stdout.splitlines()

    assert len(lines) == 2
    for line in lines:
        shapes.check("log", json.loads(line))


def test_the_agent(sandbox: Sandbox) -> None:
    """Running with a session, and not running."""
    with sandbox.use_agent():
        sandbox.get("developer")
        shapes.check("agent status", json.loads(sandbox.run("agent", "status", "--json").stdout))
    shapes.check("agent status", json.loads(sandbox.run("agent", "status", "--json").stdout))


def test_keys(sandbox: Sandbox) -> None:
    """A key as the index has it."""
    line = {"name": "me", "access_key_id": "AKIAME", "account": None, "arn": None, "saved": 1, "kind": "key"}
    sandbox.state.mkdir(parents=True, mode=0o700)
    (sandbox.state / "items.jsonl").write_text(json.dumps(line) + "\n")
    document = json.loads(sandbox.run("key", "list", "--json").stdout)

    shapes.check("key list", document)
    assert len(document["keys"]) == 1


def test_the_doctor(sandbox: Sandbox) -> None:
    """Whatever it finds."""
    result = sandbox.run_unchecked("doctor", "developer", "--json")

    shapes.check("doctor", json.loads(result.stdout))


@pytest.mark.parametrize("command", _described())
def test_the_tables_are_strict(command: str) -> None:
    """A member too many, and one too few, are noticed."""
    whole = shapes.schema(command)

    assert whole["additionalProperties"] is False
    assert whole["required"] == sorted(whole["properties"])
    with pytest.raises(jsonschema.ValidationError):
        shapes.check(command, {})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"more": 1}, {**whole, "required": []})
