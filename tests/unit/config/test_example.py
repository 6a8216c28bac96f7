"""config.example.toml shows every key, and each of them is valid."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft7Validator

from credhelper.config import json_schema, profiles
from credhelper.config import keys as config_keys
from credhelper.config.aws_names import TASKS
from credhelper.config.toml import tomllib

if TYPE_CHECKING:
    from credhelper.config.profiles import Config

EXAMPLE = Path(__file__).parents[3] / "config.example.toml"
TEXT = EXAMPLE.read_text(encoding="ascii")
OPTIONAL = list(re.finditer(r"(?m)^# (?=([a-z_]+) = )", TEXT))
"""The commented keys; what is commented out otherwise is prose."""


def ask_for_all(loaded: Config) -> None:
    """Read every profile."""
    for name in loaded.names:
        target = "@payments-prod" if name == "audit-root" else ""
        loaded.profile(name + target)


def test_example_has_one_profile_of_each_kind() -> None:
    loaded = profiles.load(str(EXAMPLE))
    asked = ("unlock-bucket", "audit-root@sandbox", "developer", "with-mfa")
    assert [loaded.profile(name).kind for name in asked] == ["root", "root", "role", "session"]
    assert loaded.names == tuple(name.partition("@")[0] for name in asked)


@pytest.mark.parametrize("comment", OPTIONAL, ids=lambda comment: f"{comment[1]}-{comment.start()}")
def test_commented_key_is_valid_for_program_and_schema(tmp_path: Path, comment: re.Match[str]) -> None:
    path = tmp_path / "config.toml"
    path.write_text(TEXT[: comment.start()] + TEXT[comment.end() :])
    ask_for_all(profiles.load(str(path)))
    Draft7Validator(json_schema.schema()).validate(tomllib.loads(path.read_text()))
    assert comment[1] in tomllib.loads(TEXT[comment.end() :].splitlines()[0])


def test_example_is_valid_by_the_shipped_schema() -> None:
    shipped = Path(json_schema.__file__).parents[1].joinpath("config.schema.json").read_text()
    Draft7Validator(json.loads(shipped)).validate(tomllib.loads(TEXT))


def test_every_key_occurs_with_a_comment() -> None:
    lines = re.findall(r"(?m)^(?:# )?([a-z_]+) +=.*?(  # .+)?$", TEXT)
    shown = {key for key, _ in lines} - set(tomllib.loads(TEXT)["accounts"])
    sections = {key.name for keys in config_keys.SECTIONS.values() for key in keys}
    assert shown == {*config_keys.BY_NAME, *sections}
    explained = {key for key, about in lines if about}
    assert shown - explained == {"role_arn"}  # the heading above it says it


def test_every_table_occurs() -> None:
    assert set(tomllib.loads(TEXT)) == set(profiles.TABLES)


def test_every_root_task_is_named() -> None:
    assert all(task in TEXT for task in TASKS)


def test_example_begins_with_the_aws_config() -> None:
    assert (
        "#   [profile unlock-bucket]\n#   credential_process = credhelper get unlock-bucket\n" in TEXT[:1000]
    )
