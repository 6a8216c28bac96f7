"""The JSON Schema says what the program says, as far as a schema can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from credhelper.config import json_schema, profiles
from credhelper.config.toml import tomllib

import bad_configs
import sandbox
from bad_configs import Bad

VALIDATOR = Draft7Validator(json_schema.schema())


def accepts(text: str) -> bool:
    return bool(VALIDATOR.is_valid(tomllib.loads(text.removeprefix("\ufeff"))))


def test_shipped_schema_is_the_generated_one() -> None:
    shipped = Path(json_schema.__file__).parents[1].joinpath("config.schema.json").read_text()
    hint = "regenerate it: python -m credhelper.config.json_schema > credhelper/config.schema.json"
    assert shipped == json_schema.text(), hint


def test_schema_is_valid_draft_07() -> None:
    assert json.loads(json_schema.text())["$schema"] == "http://json-schema.org/draft-07/schema#"
    Draft7Validator.check_schema(json_schema.schema())


# The validator fails on the huge number: it cannot write it into its message.
WRITABLE = [bad for bad in bad_configs.KEYS if bad.name != "huge number"]


@pytest.mark.parametrize("bad", WRITABLE, ids=lambda bad: bad.name)
def test_schema_refuses_what_the_program_refuses(bad: Bad) -> None:
    assert accepts(bad.content.decode()) is not bad.schema


@pytest.mark.parametrize("bad", [*bad_configs.TOGETHER, *bad_configs.ASKED], ids=lambda bad: bad.name)
def test_schema_accepts_what_only_the_program_can_check(bad: Bad) -> None:
    assert accepts(bad.content.decode())


ROLE = f"[profiles.x]\n{bad_configs.ROLE}\n"
ROOT = f"[profiles.x]\n{bad_configs.TASK}\n"


@pytest.mark.parametrize(
    "text",
    [
        sandbox.PROFILES,
        ROLE,
        f"{ROLE}cache = true\n",
        f'{ROLE}cache = "memory"\n',
        f"{ROLE}require_reason = true\n",
        f"{ROLE}require_reason = '^[A-Z]+-\\d+$'\n",
        f'{ROLE}role_session_name = "{{user}}.{{host}}"\n',
        f'{ROLE}mfa_serial = "GAHT12345678"\n',
        f'{ROLE}tags = {{ "Cost Center" = "{{reason}}", empty = "" }}\n',
        f'{ROLE}endpoint_url = "http://[::1]:8080/sts"\n',
        f'{ROLE}endpoint_url = "http://localhost"\n',
        f'{ROLE}endpoint_url = "https://sts.example.com:8443"\n',
        f'{ROLE}policy = """\n{{\t"Version": "2012-10-17", "Statement": []}}"""\n',
        f'{ROLE}region = "us-iso-east-1"\n'.replace("aws", "aws-iso"),
        f'{ROLE}region = "aws-global"\n',
        f"{ROOT}duration_seconds = 60\n",
        f"{ROOT}duration_seconds = 900\n",
        f'{ROOT}region = "cn-north-1"\n',
        '[profiles."a.b=c+d"]\nrole_arn = "arn:aws-us-gov:iam::222233334444:role/a/path/Role"\n',
        '[keyring]\nbackend = "keyring.backends.libsecret.Keyring"\ntimeout = 30\n[agent]\n[audit]\n',
    ],
)
def test_valid_file_is_accepted_by_schema_and_program(tmp_path: Path, text: str) -> None:
    assert accepts(text)
    path = tmp_path / "config.toml"
    path.write_text(text)
    loaded = profiles.load(str(path))
    for name in loaded.names:
        is_open = not {"target_principal", "role_arn"} & loaded.table("profiles")[name].keys()
        loaded.profile(f"{name}@111122223333" if is_open and "task_policy_arn" in text else name)
