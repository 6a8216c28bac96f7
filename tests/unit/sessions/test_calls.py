"""Planning calls: KEYs, sources, MFA sessions, endpoints, names and loops."""

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
from credhelper.errors import ConfigError, CredhelperError, InteractionError, SourceError
from credhelper.sessions.caller import read_path, write_path
from credhelper.sessions.calls import CallPlanner, StsCall
from credhelper.sessions.parameters import NameContext

if TYPE_CHECKING:
    from collections.abc import Mapping

ROLE_ARN = "arn:aws:iam::222233334444:role/Developer"
DEVICE = "arn:aws:iam::999988887777:mfa/me"
ROLE = {"role_arn": ROLE_ARN, "source_profile": "admin", "region": "eu-west-1"}
SOURCE = {"source_profile": "admin", "region": "eu-west-1"}
ROOT = {"task_policy_arn": "S3UnlockBucketPolicy", "target_principal": "111122223333", **SOURCE}
SESSION = {"mfa_serial": DEVICE, **SOURCE}
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


def without(profile: dict[str, Any], key: str) -> dict[str, Any]:
    """The profile without one of its keys."""
    return {name: value for name, value in profile.items() if name != key}


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
    {"confirm": True},
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
def test_every_edit_of_a_parameter_or_the_source_gives_a_key_of_its_own(
    profile: dict[str, Any], edits: list[dict[str, Any]]
) -> None:
    keys = [key({**profile, **edit}, aws=TWO_KEYS) for edit in [{}, *edits]]
    assert len(set(keys)) == len(edits) + 1


@pytest.mark.parametrize("edit", IRRELEVANT, ids=str)
@pytest.mark.parametrize("profile", [ROLE, ROOT, SESSION], ids=["role", "root", "session"])
def test_what_is_not_sent_does_not_change_the_key(profile: dict[str, Any], edit: dict[str, Any]) -> None:
    assert key({**profile, **edit}) == key(profile)


def test_a_generated_session_name_does_not_change_the_key() -> None:
    sandbox, train = (chain({"p": ROLE}, person=NameContext("alice", host)) for host in ("desk", "train"))
    assert sandbox.parameters["RoleSessionName"] != train.parameters["RoleSessionName"]
    assert sandbox.key == train.key


def test_a_configured_name_is_part_of_the_key() -> None:
    named = {**ROLE, "source_identity": "{user}"}
    assert key(named, person=NameContext("alice", "h")) != key(named, person=NameContext("bob", "h"))


def test_defaults_count_as_if_written_in_the_profile() -> None:
    bare = {"role_arn": ROLE_ARN}
    defaults = {"source_profile": "admin", "region": "eu-west-1", "duration_seconds": 900}
    assert key(bare, defaults=defaults) == key({**ROLE, "duration_seconds": 900})


PROCESS = {"credential_process": "a"}
WEB = {"role_arn": ROLE_ARN, "web_identity_token_file": "t"}
CHAINED = {"role_arn": ROLE_ARN, "source_profile": "keyed"}


@pytest.mark.parametrize(
    ("before", "edit", "differs"),
    [
        (KEYED, {"aws_access_key_id": "AKIAOTHER"}, True),
        (KEYED, {"aws_secret_access_key": "y"}, False),
        (KEYED, {"output": "json"}, False),
        (PROCESS, {"credential_process": "b"}, True),
        (PROCESS, KEYED, True),
        (WEB, {"web_identity_token_file": "u"}, True),
        (WEB, {"role_arn": f"{ROLE_ARN}2"}, True),
        (CHAINED, {"role_arn": f"{ROLE_ARN}2"}, True),
        (CHAINED, {"external_id": "42"}, True),
        (CHAINED, {"output": "json"}, False),
        (CHAINED, {"region": "us-west-2"}, False),
    ],
)
def test_an_edit_of_the_aws_profile_changes_the_key_if_the_credentials_may_be_others(
    before: dict[str, str], edit: dict[str, str], differs: bool
) -> None:
    sections = (before, {**before, **edit})
    first, second = (key(ROLE, aws={"admin": section, "keyed": KEYED}) for section in sections)
    assert (first != second) is differs


SSO = {"sso_session": "corp", "sso_account_id": "111122223333", "sso_role_name": "Admin"}
CORP = {"corp": {"sso_start_url": "https://corp/start", "sso_region": "eu-west-1"}}
LEGACY = {**CORP["corp"], "sso_account_id": "111122223333", "sso_role_name": "Admin"}


def test_an_sso_source_is_its_start_url_session_account_and_role() -> None:
    def of(section: dict[str, str], sessions: dict[str, dict[str, str]] = CORP) -> str:
        return key(ROLE, aws={"admin": section}, sso=sessions)

    edits = [{"sso_account_id": "111122224444"}, {"sso_role_name": "Reader"}]
    other = {"corp": {**CORP["corp"], "sso_start_url": "https://other/start"}}
    keys = [of(SSO), of(SSO, other), of(LEGACY), of({**LEGACY, "sso_start_url": "https://other/start"})]
    keys += [of({**base, **edit}) for base in (SSO, LEGACY) for edit in edits]
    assert len(set(keys)) == len(keys)
    assert of({**SSO, "output": "json", "region": "us-west-2"}) == of(SSO)


def test_an_edit_of_a_profile_changes_the_key_of_each_that_depends_on_it() -> None:
    def keys(low: dict[str, Any]) -> list[str]:
        profiles = {"low": low, "middle": {**ROLE, "source_profile": "low"}, "p": {**ROOT}}
        profiles["p"]["source_profile"] = "middle"
        return [chain(profiles, name).key for name in profiles]

    before, after = keys(ROLE), keys({**ROLE, "external_id": "42"})
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_each_kind_of_source_gives_another_key() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "x"}
    bare = without(ROLE, "source_profile")
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


def test_an_access_key_is_the_same_source_wherever_it_is_kept() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "AKIAADMIN", "AWS_SECRET_ACCESS_KEY": "x"}
    bare = without(ROLE, "source_profile")
    assert {
        key(ROLE),
        key(bare, environ=environ),
        key({**bare, "credential_source": "Environment"}, environ=environ),
        key({**bare, "source_key": "k"}, saved={"k": "AKIAADMIN"}),
        key(bare, aws={"default": KEYED}),
    } == {key(ROLE)}


def test_an_mfa_session_s_parameters_have_the_device_and_no_code() -> None:
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
def test_two_profiles_share_a_key_only_if_both_send_the_same_by_the_same_source(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
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


def test_roles_with_one_device_share_one_mfa_session() -> None:
    first, second = (chain({"p": {**ROLE, **OWN, "role_arn": arn}}) for arn in (ROLE_ARN, ROLE_ARN + "2"))
    assert first.key != second.key
    assert first.parent is not None
    assert second.parent is not None
    assert first.parent.key == second.parent.key
    assert first.parent.parameters == {"SerialNumber": DEVICE, "DurationSeconds": 43200}


TEMPORARY = {**KEYED, "aws_session_token": "t"}
OWN = {"mfa_serial": DEVICE}


@pytest.mark.parametrize(
    ("section", "own", "expected"),
    [
        (KEYED, {}, ["AssumeRole", "GetSessionToken*"]),
        (KEYED, OWN, ["AssumeRole", "GetSessionToken*"]),
        (KEYED, {**OWN, "mfa_session": False}, ["AssumeRole*"]),
        (TEMPORARY, {}, ["AssumeRole"]),
        (TEMPORARY, OWN, ["AssumeRole*"]),
        ({**KEYED, "aws_security_token": "t"}, {}, ["AssumeRole"]),
        (LEGACY, {}, ["AssumeRole"]),
        (PROCESS, OWN, ["AssumeRole*"]),
        (CHAINED, {}, ["AssumeRole", "AssumeRole"]),
        ({**CHAINED, **OWN}, OWN, ["AssumeRole", "AssumeRole", "GetSessionToken*"]),
    ],
)
def test_an_inherited_device_is_for_a_long_lived_key_and_an_own_one_is_used_once(
    section: dict[str, str], own: dict[str, Any], expected: list[str]
) -> None:
    call = chain({"p": {**ROLE, **own}}, aws={"admin": section, "keyed": KEYED}, defaults={} if own else OWN)
    assert shape(call) == expected


def test_an_inherited_device_is_used_by_the_first_hop_of_a_chain_only() -> None:
    profiles = {"low": ROLE, "p": {**ROLE, "source_profile": "low"}}
    assert shape(chain(profiles, defaults=OWN)) == ["AssumeRole", "AssumeRole", "GetSessionToken*"]


# Sources


def test_source_profile_prefers_a_profile_of_credhelper_to_one_of_the_aws_config() -> None:
    profiles = {"admin": {**SESSION, "source_profile": "keyed"}, "p": ROLE}
    assert shape(chain(profiles, aws={"admin": KEYED, "keyed": KEYED})) == ["AssumeRole", "GetSessionToken*"]
    assert shape(chain({"p": ROLE})) == ["AssumeRole"]


def test_a_source_profile_may_name_a_target() -> None:
    open_root = without(ROOT, "target_principal")
    call = chain({"open": open_root, "p": {**ROLE, "source_profile": "open@prod"}})
    assert call.parent is not None
    assert call.parent.parameters["TargetPrincipal"] == "111122223333"
    assert call.parent.profile.name == "open@prod"


def test_an_aws_profile_with_a_role_is_one_call_for_all_that_depend_on_it() -> None:
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


def test_an_aws_role_profile_with_keys_may_be_its_own_source() -> None:
    section = {"role_arn": f"{ROLE_ARN}2", "source_profile": "admin", **KEYED}
    call = chain({"p": ROLE}, aws={"admin": section})
    assert (shape(call), call.source.identity) == (["AssumeRole", "AssumeRole"], "key:AKIAADMIN")


def test_a_source_profile_in_the_aws_config_is_an_aws_profile() -> None:
    sections = {"admin": {"role_arn": ROLE_ARN, "source_profile": "p"}, "p": KEYED}
    assert shape(chain({"p": ROLE}, aws=sections)) == ["AssumeRole", "AssumeRole"]


@pytest.mark.parametrize(
    ("profile", "sections", "error", "said"),
    [
        (ROLE, {"admin": {"role_arn": ROLE_ARN}}, ConfigError, "'aws/config': [profile admin] has 'role_arn' but no source"),
        (ROLE, {"admim": KEYED}, SourceError, "source_profile 'admin' is neither"),
        (ROLE, {"admin": {**CHAINED, "source_profile": "keye"}, "keyed": KEYED}, SourceError, "source_profile 'keye'"),
        ({"role_arn": ROLE_ARN, "source_key": "k"}, {}, SourceError, "saved key 'k' is not in the OS keyring"),
        ({"role_arn": ROLE_ARN, "credential_source": "Environment"}, {}, SourceError, "are not set"),
        (ROLE, {"admin": {**CHAINED, "duration_seconds": "1"}}, ConfigError, "'duration_seconds' in [profile admin]"),
        (ROLE, {"admin": {**CHAINED, "duration_seconds": "9" * 5000}}, ConfigError, "must be a whole number"),
        (ROLE, {"admin": {**CHAINED, "duration_seconds": "43201"}}, ConfigError, "must be 900 to 43200"),
        (ROLE, {"admin": {**CHAINED, "role_arn": "nonsense"}}, ConfigError, "'role_arn' in [profile admin]"),
        (ROLE, {"admin": {"role_arn": ROLE_ARN, "credential_source": "Moon"}}, ConfigError, "'credential_source'"),
        (ROLE, {"admin": {**CHAINED, "source_profile": "admin"}}, ConfigError,
         "profiles form a loop: AWS profile 'admin' -> AWS profile 'admin'"),
    ],
)  # fmt: skip
def test_a_source_that_does_not_exist_is_an_error_that_names_it(
    profile: dict[str, Any], sections: dict[str, dict[str, str]], error: type[CredhelperError], said: str
) -> None:
    with pytest.raises(error) as caught:
        chain({"p": profile}, aws=sections or {"unused": {}})
    assert said in caught.value.sentence
    assert ("did you mean 'admim'" in caught.value.hints) is ("admim" in sections)


def test_a_default_profile_with_a_role_is_a_call_unless_the_environment_has_keys() -> None:
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
def test_region_is_the_first_of_profile_environment_and_source_profile(
    kind: dict[str, Any], profile: dict[str, Any], environ: dict[str, str], region: str
) -> None:
    bare = without(kind, "region")
    call = chain({"p": {**bare, **profile}}, aws={"admin": {**KEYED, "region": "sa-east-1"}}, environ=environ)
    assert call.endpoint.region == region


def test_without_a_region_the_parent_s_is_used() -> None:
    profiles = {
        "low": {**ROLE, "sts_region": "sa-east-1"},
        "p": {**without(ROOT, "region"), "source_profile": "low"},
    }
    assert chain(profiles).endpoint.region == "sa-east-1"


@pytest.mark.parametrize("environ", [{}, {"AWS_REGION": "aws-global"}])
def test_assume_root_without_a_regional_endpoint_is_refused(environ: dict[str, str]) -> None:
    bare = without(ROOT, "region")
    with pytest.raises(ConfigError, match="'p' needs a region: AssumeRoot is not on the global STS endpoint"):
        chain({"p": bare}, environ=environ)


def test_a_region_that_is_no_region_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"region 'evil\.example/' is not the name of a region"):
        chain({"p": {"role_arn": ROLE_ARN}}, environ={"AWS_REGION": "evil.example/"})


@pytest.mark.parametrize("partition", FALLBACK_REGION)
def test_assume_role_without_a_region_goes_to_its_partition(partition: str) -> None:
    arn = ROLE_ARN.replace("arn:aws:", f"arn:{partition}:")
    call = chain({"p": {"role_arn": arn, "source_profile": "admin"}})
    assert partition_of(call.endpoint.region) == partition


REGIONS = {
    "aws": "eu-west-1",
    "aws-cn": "cn-north-1",
    "aws-us-gov": "us-gov-west-1",
    "aws-eusc": "eusc-de-east-1",
}


@pytest.mark.parametrize("partition", REGIONS)
def test_the_short_name_of_a_task_is_an_arn_in_the_region_s_partition(partition: str) -> None:
    call = chain({"p": {**ROOT, "region": REGIONS[partition]}})
    arn = f"arn:{partition}:iam::aws:policy/root-task/S3UnlockBucketPolicy"
    assert call.parameters["TaskPolicyArn"] == {"arn": arn}


def test_a_task_policy_of_another_partition_than_the_region_is_refused() -> None:
    task = "arn:aws-cn:iam::aws:policy/root-task/S3UnlockBucketPolicy"
    with pytest.raises(ConfigError, match="not in the partition of region 'eu-west-1'"):
        chain(
            {"p": {**without(ROOT, "region"), "task_policy_arn": task}}, environ={"AWS_REGION": "eu-west-1"}
        )


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
def test_endpoint_url_follows_the_sdks_order(
    own: str | None, environ: dict[str, str], section: dict[str, str], url: str | None
) -> None:
    profile = {**ROLE, "endpoint_url": own} if own else ROLE
    services = {"local": {"sts": "\nendpoint_url = service"}}
    call = chain({"p": profile}, aws={"admin": {**KEYED, **section}}, services=services, environ=environ)
    assert call.endpoint.url == url


def test_an_endpoint_url_is_not_passed_to_profiles_that_depend_on_it() -> None:
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
            NameContext("alice", "", lambda _: "ticket 4711: a\nb"),
            "alice-ticket-4711--a-b",
        ),
        ("{user}", NameContext("J\xf6rg M.", "desk"), "J-rg-M."),
        ("{user}", NameContext("x", "desk"), "x-"),
        ("{user}", NameContext("x" * 300, "desk"), "x" * 256),
    ],
)
def test_placeholders_of_names_are_cleaned_and_cut_to_what_the_api_accepts(
    template: str, person: NameContext, sent: str
) -> None:
    call = chain({"p": {**ROLE, "source_identity": template, "role_session_name": template}}, person=person)
    assert (call.parameters["SourceIdentity"], call.parameters["RoleSessionName"]) == (sent, sent[:64])


def test_placeholders_of_tags_keep_spaces() -> None:
    call = chain(
        {"p": {**ROLE, "tags": {"why": "{reason}"}}},
        person=NameContext("a", "h", lambda _: "ticket 4711; <b>"),
    )
    assert call.parameters["Tags"] == [{"Key": "why", "Value": "ticket 4711- -b-"}]


def test_a_name_with_a_missing_reason_is_an_error() -> None:
    with pytest.raises(InteractionError, match="profile 'p' needs a reason"):
        chain({"p": {**ROLE, "source_identity": "{reason}"}})


# Loops


def test_a_loop_of_profiles_names_each_step() -> None:
    profiles = {"p": {**ROLE, "source_profile": "b"}, "b": {**ROLE, "source_profile": "p"}}
    with pytest.raises(ConfigError, match="profiles form a loop: 'p' -> 'b' -> 'p'"):
        chain(profiles)
    with pytest.raises(ConfigError, match="profiles form a loop: 'b' -> 'p' -> 'b'"):
        chain({"p": ROLE, "b": {**ROLE, "source_profile": "p"}}, aws={"admin": {"role_arn": ROLE_ARN, "source_profile": "x"}, "x": KEYED},
              came_from=(("config.toml", "b"), ("config.toml", "p")), name="b")  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "null", "[", "3", '["a"]', '{"a": 1}', "[[1, 2, 3]]", "[" * 100000, '"ab"']
)
def test_an_invalid_chain_variable_is_empty(text: str) -> None:
    assert isinstance(read_path(text), tuple)
    assert read_path(text) == () or text in ('{"a": 1}', '["a"]')


def test_the_chain_variable_survives_any_name() -> None:
    path = (("/etc/a b.toml", 'x"'), ("\udcff", "\n"))
    assert read_path(write_path(path)) == path
    assert json.loads(write_path(path))


def test_the_path_to_a_call_does_not_change_its_key() -> None:
    call = chain({"p": ROLE})
    assert replace(call, path=()).key == call.key
