"""A KEY stands for one call by one source: whatever changes either changes it, and nothing else does."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credhelper.awsconfig.profiles import AwsFiles
from credhelper.config.aws_names import FALLBACK_REGION, partition_of
from credhelper.config.profiles import Config
from credhelper.errors import ConfigError, CredhelperError, HumanNeededError, SourceError
from credhelper.sessions.calls import CallPlanner, StsCall, read_path, write_path
from credhelper.sessions.parameters import NameContext

if TYPE_CHECKING:
    from collections.abc import Mapping

ROLE_ARN = "arn:aws:iam::222233334444:role/Developer"
DEVICE = "arn:aws:iam::999988887777:mfa/me"
ROLE = {"role_arn": ROLE_ARN, "source_profile": "admin", "region": "eu-west-1"}
ROOT = {
    "task_policy_arn": "S3UnlockBucketPolicy",
    "target_principal": "111122223333",
    "source_profile": "admin",
    "region": "eu-west-1",
}
SESSION = {"mfa_serial": DEVICE, "source_profile": "admin", "region": "eu-west-1"}
KEYED = {"aws_access_key_id": "AKIAADMIN", "aws_secret_access_key": "x"}
ALICE = NameContext("alice", "desk")


def chain(
    profiles: dict[str, dict[str, Any]],
    name: str = "p",
    *,
    aws: Mapping[str, dict[str, str]] | None = None,
    sso: Mapping[str, dict[str, str]] | None = None,
    services: Mapping[str, dict[str, str]] | None = None,
    environ: Mapping[str, str] | None = None,
    person: NameContext = ALICE,
    saved: Mapping[str, str] | None = None,
    defaults: dict[str, Any] | None = None,
    came_from: tuple[tuple[str, str], ...] = (),
) -> StsCall:
    """The call of profile `name` among `profiles`, over the AWS profiles in `aws`."""
    tables = {"profiles": profiles, "defaults": defaults or {}, "accounts": {"prod": "111122223333"}}
    config = Config("config.toml", "", tables)
    files = AwsFiles("aws/config", "aws/credentials", aws or {"admin": KEYED}, sso or {}, services or {})
    planner = CallPlanner(config, files, environ or {}, person, (saved or {}).get, came_from)
    return planner.call(config.profile(name))


def key(profile: dict[str, Any], **more: Any) -> str:
    """The KEY of a profile."""
    return chain({"p": profile}, **more).key


ROLE_EDITS = [
    {"role_arn": "arn:aws:iam::222233334444:role/Other"},
    {"role_arn": "arn:aws:iam::222233335555:role/Developer"},
    {"role_session_name": "someone"},
    {"role_session_name": "{user}@{host}"},
    {"policy": '{"Version": "2012-10-17"}'},
    {"policy_arns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]},
    {"duration_seconds": 900},
    {"tags": {"team": "a"}},
    {"tags": {"team": "b"}},
    {"transitive_tag_keys": ["team"]},
    {"external_id": "42"},
    {"source_identity": "alice"},
    {"provided_contexts": [{"ProviderArn": "arn:aws:iam::aws:contextProvider/x", "ContextAssertion": "y"}]},
    {"minimum_session_token_size": 2048},
    {"mfa_serial": DEVICE},
    {"mfa_serial": DEVICE, "mfa_session": False},
    {"mfa_serial": DEVICE, "mfa_duration_seconds": 900},
    {"endpoint_url": "http://127.0.0.1:1"},
    {"source_profile": "second"},
]
ROOT_EDITS = [
    {"task_policy_arn": "SQSUnlockQueuePolicy"},
    {"target_principal": "111122224444"},
    {"duration_seconds": 600},
    {"minimum_session_token_size": 0},
    {"source_profile": "second"},
]
SESSION_EDITS = [
    {"mfa_serial": "GAHT12345678"},
    {"duration_seconds": 900},
    {"minimum_session_token_size": 9},
    {"source_profile": "second"},
]
IRRELEVANT = [
    {"description": "for people"},
    {"confirm_for": 60},
    {"renew_for": 600},
    {"min_remaining": 100},
    {"cache": "memory"},
    {"connect_timeout": 1},
    {"read_timeout": 1},
    {"ca_bundle": "ca.pem"},
]
TWO_KEYS = {"admin": KEYED, "second": {"aws_access_key_id": "AKIASECOND", "aws_secret_access_key": "x"}}


@pytest.mark.parametrize(
    ("profile", "edits"),
    [(ROLE, ROLE_EDITS), (ROOT, ROOT_EDITS), (SESSION, SESSION_EDITS)],
    ids=["AssumeRole", "AssumeRoot", "GetSessionToken"],
)
def test_edits_change_the_key(profile: dict[str, Any], edits: list[dict[str, Any]]) -> None:
    """Every edit of a parameter or of the source gives a KEY that no other edit gives."""
    keys = [key({**profile, **edit}, aws=TWO_KEYS) for edit in [{}, *edits]]
    assert len(set(keys)) == len(edits) + 1


@pytest.mark.parametrize("edit", IRRELEVANT, ids=str)
@pytest.mark.parametrize("profile", [ROLE, ROOT, SESSION], ids=["role", "root", "session"])
def test_what_is_not_sent_leaves_the_key(profile: dict[str, Any], edit: dict[str, Any]) -> None:
    """What STS never sees changes no KEY, so that editing it costs no mint."""
    assert key({**profile, **edit}) == key(profile)


def test_the_generated_name_leaves_the_key() -> None:
    """A session name that nobody configured follows the host, and the KEY does not."""
    sandbox, train = (chain({"p": ROLE}, person=NameContext("alice", host)) for host in ("desk", "train"))
    assert sandbox.parameters["RoleSessionName"] != train.parameters["RoleSessionName"]
    assert sandbox.key == train.key


def test_a_configured_name_is_in_the_key() -> None:
    """A session name with placeholders is sent as configured, so who it says is part of the KEY."""
    named = {**ROLE, "source_identity": "{user}"}
    assert key(named, person=NameContext("alice", "h")) != key(named, person=NameContext("bob", "h"))


def test_defaults_count_as_if_written_in_the_profile() -> None:
    """A parameter has the same KEY wherever it is written."""
    bare = {"role_arn": ROLE_ARN}
    defaults = {"source_profile": "admin", "region": "eu-west-1", "duration_seconds": 900}
    assert key(bare, defaults=defaults) == key({**ROLE, "duration_seconds": 900})


AWS_EDITS: list[tuple[dict[str, str], dict[str, str], bool]] = [
    (KEYED, {**KEYED, "aws_access_key_id": "AKIAOTHER"}, True),
    (KEYED, {**KEYED, "aws_secret_access_key": "y"}, False),
    (KEYED, {**KEYED, "output": "json"}, False),
    ({"credential_process": "a"}, {"credential_process": "b"}, True),
    ({"credential_process": "a"}, {"credential_process": "a", **KEYED}, True),
    (
        {"role_arn": ROLE_ARN, "web_identity_token_file": "t"},
        {"role_arn": ROLE_ARN, "web_identity_token_file": "u"},
        True,
    ),
    (
        {"role_arn": ROLE_ARN, "web_identity_token_file": "t"},
        {"role_arn": f"{ROLE_ARN}2", "web_identity_token_file": "t"},
        True,
    ),
    (
        {"role_arn": ROLE_ARN, "source_profile": "keyed"},
        {"role_arn": f"{ROLE_ARN}2", "source_profile": "keyed"},
        True,
    ),
    (
        {"role_arn": ROLE_ARN, "source_profile": "keyed"},
        {"role_arn": ROLE_ARN, "source_profile": "keyed", "external_id": "42"},
        True,
    ),
    (
        {"role_arn": ROLE_ARN, "source_profile": "keyed"},
        {"role_arn": ROLE_ARN, "source_profile": "keyed", "output": "json"},
        False,
    ),
    (
        {"role_arn": ROLE_ARN, "source_profile": "keyed"},
        {"role_arn": ROLE_ARN, "source_profile": "keyed", "region": "us-west-2"},
        False,
    ),
]


@pytest.mark.parametrize(("before", "after", "differs"), AWS_EDITS)
def test_edits_of_the_aws_profile(before: dict[str, str], after: dict[str, str], differs: bool) -> None:
    """An edit of the AWS profile changes the KEY exactly where it may change whose credentials they are."""
    first, second = (key(ROLE, aws={"admin": section, "keyed": KEYED}) for section in (before, after))
    assert (first != second) is differs


SSO = {"sso_session": "corp", "sso_account_id": "111122223333", "sso_role_name": "Admin"}
CORP = {"corp": {"sso_start_url": "https://corp/start", "sso_region": "eu-west-1"}}
LEGACY = {
    "sso_start_url": "https://corp/start",
    "sso_region": "eu-west-1",
    "sso_account_id": "111122223333",
    "sso_role_name": "Admin",
}


def test_sso_identity() -> None:
    """An SSO source is its session or start URL, account and role, and nothing else."""

    def of(section: dict[str, str], sessions: dict[str, dict[str, str]] = CORP) -> str:
        return key(ROLE, aws={"admin": section}, sso=sessions)

    edits = [{"sso_account_id": "111122224444"}, {"sso_role_name": "Reader"}]
    other = {"corp": {**CORP["corp"], "sso_start_url": "https://other/start"}}
    keys = [of(SSO), of(SSO, other), of(LEGACY), of({**LEGACY, "sso_start_url": "https://other/start"})]
    keys += [of({**base, **edit}) for base in (SSO, LEGACY) for edit in edits]
    assert len(set(keys)) == len(keys)
    assert of({**SSO, "output": "json", "region": "us-west-2"}) == of(SSO)


def test_an_edit_below_reaches_every_key_above() -> None:
    """An edit anywhere down a chain changes the KEY of each call that rests on it."""

    def keys(low: dict[str, Any]) -> list[str]:
        profiles = {"low": low, "middle": {**ROLE, "source_profile": "low"}, "p": {**ROOT}}
        profiles["p"]["source_profile"] = "middle"
        return [chain(profiles, name).key for name in profiles]

    before, after = keys(ROLE), keys({**ROLE, "external_id": "42"})
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_other_sources() -> None:
    """Environment, default chain, container, instance and saved keys are sources of different KEYs."""
    environ = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "x"}
    bare = {name: value for name, value in ROLE.items() if name != "source_profile"}
    container = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/a"}
    keys = [
        key(ROLE),
        key(bare),
        key(bare, environ=container),
        key(bare, environ={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/b"}),
        key(bare, environ={"AWS_WEB_IDENTITY_TOKEN_FILE": "t", "AWS_ROLE_ARN": ROLE_ARN}),
        key(bare, environ=environ),
        key({**bare, "credential_source": "EcsContainer"}, environ=container),
        key({**bare, "credential_source": "EcsContainer"}),
        key({**bare, "credential_source": "Ec2InstanceMetadata"}),
        key({**bare, "source_key": "k"}, saved={"k": "AKIASAVED"}),
        key({**bare, "source_key": "k"}, saved={"k": "AKIAROTATED"}),
    ]
    assert len(set(keys)) == len(keys)


def test_one_key_in_many_places() -> None:
    """The same access key is the same source wherever it is kept."""
    environ = {"AWS_ACCESS_KEY_ID": "AKIAADMIN", "AWS_SECRET_ACCESS_KEY": "x"}
    bare = {name: value for name, value in ROLE.items() if name != "source_profile"}
    assert {
        key(ROLE),
        key(bare, environ=environ),
        key({**bare, "credential_source": "Environment"}, environ=environ),
        key({**bare, "source_key": "k"}, saved={"k": "AKIAADMIN"}),
        key(bare, aws={"default": KEYED}),
    } == {key(ROLE)}


def test_an_mfa_code_is_not_in_the_key() -> None:
    """The call of an MFA session has the device, never a code."""
    call = chain({"p": SESSION})
    assert (call.needs_code, set(call.parameters)) == (True, {"SerialNumber"})


PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "role_arn": st.sampled_from([ROLE_ARN, f"{ROLE_ARN}2"]),
        "role_session_name": st.sampled_from(["alice@desk", "bob"]),
        "duration_seconds": st.sampled_from([900, 3600]),
        "external_id": st.sampled_from(["42", "43"]),
        "source_identity": st.sampled_from(["alice", "bob"]),
        "minimum_session_token_size": st.sampled_from([0, 1]),
        "tags": st.dictionaries(
            st.sampled_from(["a", "b", "a=b"]), st.sampled_from(["", "x", "b=x"]), max_size=2
        ),
        "transitive_tag_keys": st.lists(st.sampled_from(["a", "b"]), max_size=2),
        "policy": st.sampled_from(["{}", '{"a": 1}']),
        "policy_arns": st.lists(
            st.sampled_from(["arn:aws:iam::aws:policy/A", "arn:aws:iam::aws:policy/B"]), min_size=1
        ),
        "source_profile": st.sampled_from(["admin", "second", "low"]),
    },
)


@settings(max_examples=150)
@given(PARAMETERS, PARAMETERS)
def test_no_two_profiles_share_a_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two profiles have one KEY only where both would send the same, by the same source."""
    sections = {**TWO_KEYS, "low": {"role_arn": f"{ROLE_ARN}3", "source_profile": "admin"}}
    calls = [chain({"p": {**ROLE, **profile}}, aws=sections) for profile in (one, other)]

    def meaning(call: StsCall) -> tuple[Any, ...]:
        signer = meaning(call.parent) if call.parent else call.source.identity
        return (call.api, dict(call.parameters), call.generated_name, signer)

    # A name configured as the generated one would be is sent the same, and may have a KEY of its own.
    assert (calls[0].key == calls[1].key) is (meaning(calls[0]) == meaning(calls[1]))


# MFA sessions


def shape(call: StsCall) -> list[str]:
    """The operations of a chain, outermost first; with a star where a code is needed."""
    return [hop.api + ("*" if hop.needs_code else "") for hop in call.hops()]


def test_mfa_session_under_a_long_lived_key() -> None:
    """A role with a device rests on one MFA session of that device, shared by every such role."""
    first, second = (
        chain({"p": {**ROLE, "mfa_serial": DEVICE, "role_arn": arn}}) for arn in (ROLE_ARN, ROLE_ARN + "2")
    )
    assert shape(first) == ["AssumeRole", "GetSessionToken*"]
    assert first.key != second.key
    assert first.parent is not None
    assert second.parent is not None
    assert first.parent.key == second.parent.key
    assert first.parent.parameters == {"SerialNumber": DEVICE, "DurationSeconds": 43200}


TEMPORARY = {**KEYED, "aws_session_token": "t"}


@pytest.mark.parametrize(
    ("section", "inherited", "expected"),
    [
        (KEYED, True, ["AssumeRole", "GetSessionToken*"]),
        (TEMPORARY, True, ["AssumeRole"]),
        ({**KEYED, "aws_security_token": "t"}, True, ["AssumeRole"]),
        (LEGACY, True, ["AssumeRole"]),
        ({"role_arn": ROLE_ARN, "source_profile": "keyed"}, True, ["AssumeRole", "AssumeRole"]),
        (TEMPORARY, False, ["AssumeRole*"]),
        ({"credential_process": "x"}, False, ["AssumeRole*"]),
        (
            {"role_arn": ROLE_ARN, "source_profile": "keyed", "mfa_serial": DEVICE},
            False,
            ["AssumeRole", "AssumeRole", "GetSessionToken*"],
        ),
    ],
)
def test_where_the_device_is_used(section: dict[str, str], inherited: bool, expected: list[str]) -> None:
    """An inherited device is for the first hop with a long-lived key; an own one is always used, once."""
    device = {"mfa_serial": DEVICE}
    profile = ROLE if inherited else {**ROLE, **device}
    call = chain(
        {"p": profile}, aws={"admin": section, "keyed": KEYED}, defaults=device if inherited else None
    )
    assert shape(call) == expected


def test_inherited_device_on_chained_roles() -> None:
    """Of a chain of roles that inherit a device, only the first hop uses it."""
    profiles = {"low": ROLE, "p": {**ROLE, "source_profile": "low"}}
    call = chain(profiles, defaults={"mfa_serial": DEVICE})
    assert shape(call) == ["AssumeRole", "AssumeRole", "GetSessionToken*"]


def test_no_mfa_session_where_switched_off() -> None:
    """With mfa_session = false the role itself takes the code."""
    assert shape(chain({"p": {**ROLE, "mfa_serial": DEVICE, "mfa_session": False}})) == ["AssumeRole*"]


# Sources


def test_ours_before_the_aws_config() -> None:
    """source_profile names a profile of ours where there is one, and else one of the AWS config."""
    profiles = {"admin": {**SESSION, "source_profile": "keyed"}, "p": ROLE}
    assert shape(chain(profiles, aws={"admin": KEYED, "keyed": KEYED})) == ["AssumeRole", "GetSessionToken*"]
    assert shape(chain({"p": ROLE})) == ["AssumeRole"]


def test_a_target_in_a_source() -> None:
    """PROFILE@TARGET works as a source."""
    open_root = {name: value for name, value in ROOT.items() if name != "target_principal"}
    call = chain({"open": open_root, "p": {**ROLE, "source_profile": "open@prod"}})
    assert call.parent is not None
    assert call.parent.parameters["TargetPrincipal"] == "111122223333"
    assert call.parent.profile.name == "open@prod"


def test_an_aws_role_is_a_hop_of_ours() -> None:
    """An AWS profile with a role_arn is a call of its own, the same for every profile that rests on it."""
    sections = {
        "admin": {
            "role_arn": f"{ROLE_ARN}2",
            "source_profile": "keyed",
            "external_id": "42",
            "duration_seconds": "7200",
            "role_session_name": "me",
            "tags": "not of AWS's",
            "policy": "neither",
        },
        "keyed": KEYED,
    }
    one, other = (chain({"p": {**ROLE, **edit}}, aws=sections) for edit in ({}, {"external_id": "x2"}))
    assert one.parent is not None
    assert other.parent is not None
    assert one.parent.key == other.parent.key != one.key
    assert one.parent.parameters == {
        "RoleArn": f"{ROLE_ARN}2",
        "RoleSessionName": "me",
        "DurationSeconds": 7200,
        "ExternalId": "42",
    }


def test_an_aws_role_that_is_its_own_source() -> None:
    """An AWS role profile may name itself, where it has keys of its own."""
    section = {"role_arn": f"{ROLE_ARN}2", "source_profile": "admin", **KEYED}
    call = chain({"p": ROLE}, aws={"admin": section})
    assert (shape(call), call.source.identity) == (["AssumeRole", "AssumeRole"], "key:AKIAADMIN")


def test_the_aws_config_names_only_its_own() -> None:
    """A source_profile in the AWS config is an AWS profile, though one of ours has that name."""
    sections = {"admin": {"role_arn": ROLE_ARN, "source_profile": "p"}, "p": KEYED}
    assert shape(chain({"p": ROLE}, aws=sections)) == ["AssumeRole", "AssumeRole"]


ROLE_SECTION = {"role_arn": ROLE_ARN, "source_profile": "keyed"}


@pytest.mark.parametrize(
    ("profile", "sections", "error", "said"),
    [
        (ROLE, {"admin": {"role_arn": ROLE_ARN}}, ConfigError, "'aws/config': [profile admin] has 'role_arn' but no source"),
        (ROLE, {"admim": KEYED}, SourceError, "source_profile 'admin' is neither"),
        (ROLE, {"admin": {**ROLE_SECTION, "source_profile": "keye"}, "keyed": KEYED}, SourceError, "source_profile 'keye'"),
        ({"role_arn": ROLE_ARN, "source_key": "k"}, {}, SourceError, "saved key 'k' is not in the OS keyring"),
        ({"role_arn": ROLE_ARN, "credential_source": "Environment"}, {}, SourceError, "are not set"),
        (ROLE, {"admin": {**ROLE_SECTION, "duration_seconds": "1"}}, ConfigError, "'duration_seconds' in [profile admin]"),
        (ROLE, {"admin": {**ROLE_SECTION, "duration_seconds": "9" * 5000}}, ConfigError, "must be a whole number"),
        (ROLE, {"admin": {**ROLE_SECTION, "duration_seconds": "43201"}}, ConfigError, "must be 900 to 43200"),
        (ROLE, {"admin": {**ROLE_SECTION, "role_arn": "nonsense"}}, ConfigError, "'role_arn' in [profile admin]"),
        (ROLE, {"admin": {"role_arn": ROLE_ARN, "credential_source": "Moon"}}, ConfigError, "'credential_source'"),
        (ROLE, {"admin": {**ROLE_SECTION, "source_profile": "admin"}}, ConfigError,
         "profiles form a loop: AWS profile 'admin' -> AWS profile 'admin'"),
    ],
)  # fmt: skip
def test_sources_that_are_none(
    profile: dict[str, Any], sections: dict[str, dict[str, str]], error: type[CredhelperError], said: str
) -> None:
    """A source that cannot be is said at once, with what is missing and where."""
    with pytest.raises(error) as caught:
        chain({"p": profile}, aws=sections or {"unused": {}})
    assert said in caught.value.sentence


def test_nearest_name() -> None:
    """A missing source profile comes with the nearest known name."""
    with pytest.raises(SourceError) as caught:
        chain({"p": ROLE}, aws={"admim": KEYED})
    assert caught.value.hints == ("did you mean 'admim'",)


def test_default_chain_role() -> None:
    """A [default] with a role_arn is a hop of ours; access keys in the environment win over it."""
    bare = {"role_arn": ROLE_ARN}
    sections = {"default": {"role_arn": f"{ROLE_ARN}2", "source_profile": "keyed"}, "keyed": KEYED}
    environ = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "x", "AWS_PROFILE": "p"}
    assert shape(chain({"p": bare}, aws=sections)) == ["AssumeRole", "AssumeRole"]
    call = chain({"p": bare}, aws=sections, environ=environ)
    assert (shape(call), call.source.identity) == (["AssumeRole"], "key:AKIAENV")


# Endpoints


@pytest.mark.parametrize(
    ("profile", "environ", "region"),
    [
        ({"sts_region": "us-west-2", "region": "eu-west-1"}, {"AWS_REGION": "ap-south-1"}, "us-west-2"),
        ({"region": "eu-west-1"}, {"AWS_REGION": "ap-south-1"}, "eu-west-1"),
        ({}, {"AWS_REGION": "ap-south-1", "AWS_DEFAULT_REGION": "ca-central-1"}, "ap-south-1"),
        ({}, {"AWS_DEFAULT_REGION": "ca-central-1"}, "ca-central-1"),
        ({}, {"AWS_REGION": ""}, "sa-east-1"),
    ],
)
@pytest.mark.parametrize("kind", [ROLE, ROOT], ids=["role", "root"])
def test_region_order(
    kind: dict[str, Any], profile: dict[str, Any], environ: dict[str, str], region: str
) -> None:
    """sts_region, region, AWS_REGION, AWS_DEFAULT_REGION, then the source profile's region."""
    bare = {name: value for name, value in kind.items() if name != "region"}
    call = chain({"p": {**bare, **profile}}, aws={"admin": {**KEYED, "region": "sa-east-1"}}, environ=environ)
    assert call.endpoint.region == region


def test_region_of_the_source_call() -> None:
    """A profile without a region takes that of the profile it rests on."""
    profiles = {"low": {**ROLE, "sts_region": "sa-east-1"}, "p": {**ROOT, "source_profile": "low"}}
    del profiles["p"]["region"]
    assert chain(profiles).endpoint.region == "sa-east-1"


@pytest.mark.parametrize("environ", [{}, {"AWS_REGION": "aws-global"}])
def test_assume_root_needs_a_region(environ: dict[str, str]) -> None:
    """Without a region, or with the global endpoint's, AssumeRoot is not sent."""
    bare = {name: value for name, value in ROOT.items() if name != "region"}
    with pytest.raises(ConfigError, match="'p' needs a region: AssumeRoot is not on the global STS endpoint"):
        chain({"p": bare}, environ=environ)


def test_a_region_that_is_none() -> None:
    """A region becomes a part of a host name, so it must look like one."""
    with pytest.raises(ConfigError, match=r"region 'evil\.example/' is not the name of a region"):
        chain({"p": {"role_arn": ROLE_ARN}}, environ={"AWS_REGION": "evil.example/"})


@pytest.mark.parametrize("partition", FALLBACK_REGION)
def test_fallback_region(partition: str) -> None:
    """AssumeRole without any region goes to a region of the role's own partition."""
    arn = ROLE_ARN.replace("arn:aws:", f"arn:{partition}:")
    call = chain({"p": {"role_arn": arn, "source_profile": "admin"}})
    assert partition_of(call.endpoint.region) == partition


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-west-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("eusc-de-east-1", "aws-eusc"),
    ],
)
def test_short_task_names(region: str, partition: str) -> None:
    """The short name of a task becomes an ARN in the region's partition."""
    call = chain({"p": {**ROOT, "region": region}})
    assert call.parameters["TaskPolicyArn"] == {
        "arn": f"arn:{partition}:iam::aws:policy/root-task/S3UnlockBucketPolicy"
    }


def test_task_of_another_partition() -> None:
    """A task policy of another partition than the environment's region is refused."""
    task = "arn:aws-cn:iam::aws:policy/root-task/S3UnlockBucketPolicy"
    profile = {**ROOT, "task_policy_arn": task}
    del profile["region"]
    with pytest.raises(ConfigError, match="not in the partition of region 'eu-west-1'"):
        chain({"p": profile}, environ={"AWS_REGION": "eu-west-1"})


@pytest.mark.parametrize(
    ("own", "environ", "section", "url"),
    [
        ("http://127.0.0.1:1", {"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:2"}, {}, "http://127.0.0.1:1"),
        (None, {"AWS_ENDPOINT_URL_STS": "sts", "AWS_ENDPOINT_URL": "all"}, {"services": "local"}, "sts"),
        (None, {"AWS_ENDPOINT_URL": "all"}, {"services": "local"}, "all"),
        (None, {}, {"services": "local", "endpoint_url": "profile"}, "service"),
        (None, {}, {"endpoint_url": "profile"}, "profile"),
        (None, {}, {"endpoint_url": "profile", "ignore_configured_endpoint_urls": "true"}, None),
        (None, {"AWS_ENDPOINT_URL": "a", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "TRUE"}, {}, None),
        (None, {}, {}, None),
    ],
)
def test_endpoint_order(
    own: str | None, environ: dict[str, str], section: dict[str, str], url: str | None
) -> None:
    """The profile's endpoint_url, then what the SDKs obey, in their order; ignored where they ignore it."""
    profile = {**ROLE, "endpoint_url": own} if own else ROLE
    services = {"local": {"sts": "\nendpoint_url = service"}}
    call = chain({"p": profile}, aws={"admin": {**KEYED, **section}}, services=services, environ=environ)
    assert call.endpoint.url == url


def test_an_endpoint_of_one_profile_is_its_own() -> None:
    """The endpoint_url of a profile is not passed to the profiles that rest on it."""
    profiles = {"low": {**ROLE, "endpoint_url": "http://127.0.0.1:1"}, "p": {**ROLE, "source_profile": "low"}}
    assert chain(profiles).endpoint.url is None
    assert chain(profiles, "low").endpoint.url == "http://127.0.0.1:1"


# Names


@pytest.mark.parametrize(
    ("template", "person", "sent"),
    [
        ("{user}@{host}", ALICE, "alice@desk"),
        (
            "{user}-{reason}",
            NameContext("alice", "desk", lambda _: "ticket 4711: a\nb"),
            "alice-ticket-4711--a-b",
        ),
        ("{user}", NameContext("J\xf6rg M.", "desk"), "J-rg-M."),
        ("{user}", NameContext("x", "desk"), "x-"),
        ("{user}", NameContext("x" * 300, "desk"), "x" * 256),
    ],
)
def test_placeholders_of_names(template: str, person: NameContext, sent: str) -> None:
    """Who, where and why are cleaned to the API's alphabet and length."""
    call = chain({"p": {**ROLE, "source_identity": template, "role_session_name": template}}, person=person)
    assert (call.parameters["SourceIdentity"], call.parameters["RoleSessionName"]) == (sent, sent[:64])


def test_placeholders_of_tags() -> None:
    """A tag keeps the spaces of a reason, and loses what the API does not take."""
    call = chain(
        {"p": {**ROLE, "tags": {"why": "{reason}"}}},
        person=NameContext("a", "h", lambda _: "ticket 4711; <b>"),
    )
    assert call.parameters["Tags"] == [{"Key": "why", "Value": "ticket 4711- -b-"}]


def test_a_reason_that_nobody_gave() -> None:
    """A name with {reason} needs one: exit 5, with how to give it."""
    with pytest.raises(HumanNeededError, match="profile 'p' needs a reason"):
        chain({"p": {**ROLE, "source_identity": "{reason}"}})


# Loops


def test_loops_are_spelt_out() -> None:
    """A cycle names each of its steps, and where it closes."""
    profiles = {"p": {**ROLE, "source_profile": "b"}, "b": {**ROLE, "source_profile": "p"}}
    with pytest.raises(ConfigError, match="profiles form a loop: 'p' -> 'b' -> 'p'"):
        chain(profiles)
    with pytest.raises(ConfigError, match="profiles form a loop: 'b' -> 'p' -> 'b'"):
        chain({"p": ROLE, "b": {**ROLE, "source_profile": "p"}}, aws={"admin": {"role_arn": ROLE_ARN, "source_profile": "x"}, "x": KEYED},
              came_from=(("config.toml", "b"), ("config.toml", "p")), name="b")  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "null", "[", "3", '["a"]', '{"a": 1}', "[[1, 2, 3]]", "[" * 100000, '"ab"']
)
def test_garbage_in_the_chain_variable(text: str) -> None:
    """A value of CREDHELPER_CHAIN that we did not write is as good as none."""
    assert isinstance(read_path(text), tuple)
    assert read_path(text) == () or text in ('{"a": 1}', '["a"]')


def test_the_chain_variable() -> None:
    """What is written is read again, whatever is in the names."""
    path = (("/etc/a b.toml", 'x"'), ("\udcff", "\n"))
    assert read_path(write_path(path)) == path
    assert json.loads(write_path(path))


def test_the_path_is_not_in_the_key() -> None:
    """The way by which a call was reached does not change its KEY."""
    call = chain({"p": ROLE})
    assert replace(call, path=()).key == call.key
