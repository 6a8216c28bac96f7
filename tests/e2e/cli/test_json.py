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


def test_every_command_with_json_is_described() -> None:
    assert sorted(name.removesuffix(" NAME") for name in _described()) == sorted(_with_json(main.program, ""))


def test_log_lines_have_the_described_shape(sandbox: Sandbox, sts: LoopbackSts) -> None:
    sandbox.get("unlock-bucket", "--reason", "T-1")
    sts.mode = faults.refuse("AccessDenied", "no")
    sandbox.refuses(4, "get", "developer")
    lines = sandbox.run("log", "--json").stdout.splitlines()

    assert len(lines) == 2
    for line in lines:
        shapes.check("log", json.loads(line))


def test_agent_status_and_key_list_have_the_described_shape(sandbox: Sandbox) -> None:
    sandbox.list_saved_key("me", "AKIAME")
    with sandbox.use_agent():
        sandbox.get("developer")
        shapes.told(sandbox, "agent status")
    shapes.told(sandbox, "agent status")
    assert len(shapes.told(sandbox, "key list")["keys"]) == 1


def test_doctor_has_the_described_shape(sandbox: Sandbox) -> None:
    result = sandbox.run_unchecked("doctor", "developer", "--json")
    shapes.check("doctor", json.loads(result.stdout))


@pytest.mark.parametrize("command", _described())
def test_unknown_or_missing_member_is_an_error(command: str) -> None:
    whole = shapes.schema(command)

    assert whole["additionalProperties"] is False
    assert whole["required"] == sorted(whole["properties"])
    with pytest.raises(jsonschema.ValidationError):
        shapes.check(command, {})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"more": 1}, {**whole, "required": []})
