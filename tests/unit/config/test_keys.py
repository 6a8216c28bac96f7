"""The table of keys agrees with AWS: with botocore's model of STS, and with its partitions."""

from __future__ import annotations

import re
from typing import Any

import boto3
import pytest
from botocore import xform_name

from credhelper.config import aws_names, keys, validation
from credhelper.config.keys import API, API_DURATIONS, BY_NAME, DURATIONS, KEYS, ROOT, TOKEN_CODE, Key, Kind

MODEL = boto3.client("sts", region_name="us-east-1").meta.service_model
LOADER = boto3.Session()._session.get_component("data_loader")
PARTITIONS = LOADER.load_data("partitions")["partitions"]
REGIONS = [
    (region, partition["id"])
    for partition in PARTITIONS
    for region in partition["regions"]
    if re.match(partition["regionRegex"], region)  # not aws-cn-global: no endpoint signs for it
]

PROMPTED = {TOKEN_CODE.parameter}
"""Members that a person is asked for, or says on the command line."""

OUR_LIMITS: dict[str, tuple[int | None, int | None]] = {
    "target_principal": (None, 2048),  # an alias from [accounts] may be shorter than an account id
    "policy_arns": (1, None),  # an empty list bounds nothing, and looks like a bound
}
"""Lengths where we differ from the model, and why. Durations are compared by themselves."""

PAIRS = [(kind, key) for kind in API for key in KEYS if key.parameter and kind in key.kinds]


def members(kind: Kind) -> dict[str, Any]:
    """The input of a kind's API call, as botocore has it."""
    shape: Any = MODEL.operation_model(API[kind]).input_shape
    return dict(shape.members)


@pytest.mark.parametrize("kind", API)
class TestOperation:
    def test_every_member_is_a_key_and_required_ones_select_the_kind(self, kind: Kind) -> None:
        ours = {key.parameter for key in KEYS if key.parameter and kind in key.kinds}
        assert ours | PROMPTED == set(members(kind)) | PROMPTED

        shape: Any = MODEL.operation_model(API[kind]).input_shape
        expected = {
            "root": {"TargetPrincipal", "TaskPolicyArn"},  # the first: of the profile, or after the @
            "role": {"RoleArn", "RoleSessionName"},  # the second: {user}@{host}
            "session": set(),
        }
        assert set(shape.required_members) == expected[kind]

    def test_durations_are_those_of_the_api_except_short_root_sessions(self, kind: Kind) -> None:
        limits = members(kind)["DurationSeconds"].metadata
        assert DURATIONS[kind] == (60 if kind == ROOT else limits["min"], limits["max"])
        assert API_DURATIONS[kind] == (limits["min"], limits["max"])
        assert validation.duration_problem(kind, DURATIONS[kind][1]) is None
        assert validation.duration_problem(kind, DURATIONS[kind][1] + 1) is not None


@pytest.mark.parametrize(
    ("kind", "key"), PAIRS, ids=lambda each: each if isinstance(each, str) else each.name
)
class TestMember:
    def test_key_has_the_type_of_its_member(self, kind: Kind, key: Key) -> None:
        forms = {"string": "text", "integer": "number", "list": "texts"}
        special = {"TaskPolicyArn": "text", "Tags": "table", "ProvidedContexts": "tables"}
        assert key.parameter is not None
        shape = members(kind)[key.parameter]
        assert key.form == (special.get(key.parameter) or forms[shape.type_name])

    def test_key_has_the_limits_of_its_member(self, kind: Kind, key: Key) -> None:
        assert key.parameter is not None
        shape = members(kind)[key.parameter]
        if key.name == "duration_seconds":
            low, high = min(low for low, _ in DURATIONS.values()), max(high for _, high in DURATIONS.values())
            assert key.limits == (low, high)
        elif key.name == "task_policy_arn":
            assert key.limits[1] == shape.members["arn"].metadata["max"]
        else:
            limits = shape.metadata.get("min"), shape.metadata.get("max")
            assert key.limits == OUR_LIMITS.get(key.name, limits)

    def test_key_has_the_structure_and_the_option_of_its_member(self, kind: Kind, key: Key) -> None:
        assert key.parameter is not None
        shape = members(kind)[key.parameter]
        entry = shape.member if shape.type_name == "list" else shape
        assert key.is_list == (shape.type_name == "list")
        assert list(key.members) == list(getattr(entry, "members", {}))
        assert key.option == f"--{xform_name(key.parameter, '-')}"

    def test_samples_fit_the_pattern_of_the_member(self, kind: Kind, key: Key) -> None:
        assert key.parameter is not None
        pattern = members(kind)[key.parameter].metadata.get("pattern")
        if key.name in ("role_session_name", "source_identity", "external_id"):
            assert key.pattern == pattern.replace(r"\/", "/")
        for text in SAMPLES.get(key.name, ()):
            assert validation.problem(key, text) is None
            assert re.fullmatch(_readable(pattern), text, re.ASCII)


SAMPLES = {
    "role_arn": ["arn:aws:iam::222233334444:role/a/path/Role+=,.@-_"],
    "policy": ['{"Version":\t"2012-10-17",\r\n"Statement": ["\u00ff"]}'],
    "mfa_serial": [
        "arn:aws:iam::999988887777:mfa/a/path/me@example.com",
        "GAHT12345678",
        "arn:aws-cn:iam::999988887777:sms-mfa/me",
    ],
}


def _readable(pattern: str) -> str:
    r"""A pattern of the model as Python reads it: its \uXXXXXX are of more than four digits."""
    return pattern.replace(r"\u10000-\u10FFFF", r"\U00010000-\U0010ffff")


def test_value_outside_the_pattern_is_refused() -> None:
    for name, text in (
        ("policy", '{"a": "\u0100"}'),
        ("external_id", "a b"),
        ("role_session_name", "ä" * 4),
        ("source_identity", "a/b"),
        ("mfa_serial", "a b c d e f"),
    ):
        assert "does not fit" in (validation.problem(BY_NAME[name], text) or "")


def test_keys_are_spelt_as_their_members_except_mfa_serial() -> None:
    for key in KEYS:
        if key.parameter and key.name != "mfa_serial":
            assert key.name.replace("_", "") == key.parameter.lower()
    assert BY_NAME["mfa_serial"].parameter == "SerialNumber"


def test_each_key_has_one_flag() -> None:
    assert BY_NAME["role_arn"].flag == "--role-arn"
    assert len({key.flag for key in KEYS}) == len(KEYS) == len(BY_NAME)


def test_defaults_take_four_parameters_and_every_other_key() -> None:
    inherited = {key.name for key in KEYS if key.inherited}
    assert {key.name for key in KEYS if not key.parameter} < inherited
    assert {name for name in inherited if BY_NAME[name].parameter} == set(keys.INHERITED_PARAMETERS)


@pytest.mark.parametrize(("region", "partition"), REGIONS)
def test_every_region_of_botocore_is_in_its_partition(region: str, partition: str) -> None:
    assert validation.problem(BY_NAME["region"], region) is None
    assert aws_names.partition_of(region) == partition


@pytest.mark.parametrize("partition", PARTITIONS, ids=lambda partition: partition["id"])
def test_future_regions_are_in_their_partition(partition: dict[str, Any]) -> None:
    identifier = partition["id"]
    assert validation.problem(BY_NAME["role_arn"], f"arn:{identifier}:iam::222233334444:role/x") is None
    expression = partition["regionRegex"]
    prefix = re.sub(r"\\w\+.*|[\^\\]", "", re.sub(r"\((\w+)[^)]*\)", r"\1", expression))
    assert re.match(expression, f"{prefix}somewhere-9")
    assert aws_names.partition_of(f"{prefix}somewhere-9") == identifier


def test_five_root_tasks_are_valid_by_name_and_arn() -> None:
    assert list(aws_names.TASKS) == [
        "IAMAuditRootUserCredentials",
        "IAMCreateRootUserPassword",
        "IAMDeleteRootUserCredentials",
        "S3UnlockBucketPolicy",
        "SQSUnlockQueuePolicy",
    ]
    for name in aws_names.TASKS:
        arn = f"arn:aws:iam::aws:policy/root-task/{name}"
        assert aws_names.short_task(arn) == name
        assert validation.problem(BY_NAME["task_policy_arn"], name) is None
        assert validation.problem(BY_NAME["task_policy_arn"], arn) is None
