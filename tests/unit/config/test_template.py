"""The starter configuration loads as it is, and every line that it offers is valid in its place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft7Validator

from credhelper.config import json_schema, profiles
from credhelper.config import keys as config_keys
from credhelper.config.template import STARTER
from credhelper.config.toml import tomllib

if TYPE_CHECKING:
    from pathlib import Path

    from credhelper.config.profiles import Config

from starter import FILLED_IN

KEYS = set(re.findall(r"(?m)^# ([a-z_]+) = ", STARTER))


def load(path: Path, text: str) -> Config:
    """The text as a configuration that is also valid by the schema."""
    path.write_text(text, encoding="ascii", newline="\n")
    Draft7Validator(json_schema.schema()).validate(tomllib.loads(text))
    return profiles.load(str(path))


def test_template_loads_without_a_profile(tmp_path: Path) -> None:
    loaded = load(tmp_path / "config.toml", STARTER)
    assert (loaded.names, dict(loaded.accounts)) == ((), {})


def test_template_uncommented_has_a_profile_of_each_kind(tmp_path: Path) -> None:
    loaded = load(tmp_path / "config.toml", FILLED_IN)
    asked = ("developer", "unlock-bucket", "audit-root@payments-prod")
    assert [loaded.profile(name).kind for name in asked] == ["role", "root", "root"]
    assert loaded.names == tuple(name.partition("@")[0] for name in asked)


NEEDED = {"role_arn", "task_policy_arn", "target_principal"}


@pytest.mark.parametrize("key", sorted(KEYS - NEEDED))
def test_each_optional_key_can_be_left_out(tmp_path: Path, key: str) -> None:
    less = re.sub(rf"(?m)^{key} = .*\n", "", FILLED_IN)
    assert less != FILLED_IN
    loaded = load(tmp_path / "config.toml", less)
    assert all(loaded.profile(name) for name in ("developer", "unlock-bucket", "audit-root@payments-prod"))


def test_root_profiles_are_cached_in_memory_and_say_why(tmp_path: Path) -> None:
    loaded = load(tmp_path / "config.toml", FILLED_IN)
    for name in ("unlock-bucket", "audit-root@payments-prod"):
        assert loaded.profile(name).get("cache") == "memory"
    reason, first = STARTER.index("stay out of the keyring"), STARTER.index("[profiles.unlock-bucket]")
    assert 0 < first - reason < 500


def test_template_is_one_page_of_ascii_and_names_the_next_commands() -> None:
    assert STARTER.isascii()
    lines = STARTER.splitlines()
    assert len(lines) < 50
    assert max(map(len, lines)) <= 110
    assert "'credhelper setup'" in STARTER
    assert "aws sts get-caller-identity --profile developer" in STARTER
    assert set(config_keys.BY_NAME) >= KEYS
