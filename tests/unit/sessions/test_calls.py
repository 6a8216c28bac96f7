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
ADMIN = {"admin": KEYED}
NONE: dict[str, Any] = {}
ALICE = NameContext("alice", "desk")
OWN = {"mfa_serial": DEVICE}


def chain(
    profiles: dict[str, dict[str, Any]],
    name: str = "p",
    *,
    aws: Mapping[str, dict[str, str]] = ADMIN,
    sso: Mapping[str, dict[str, str]] = NONE,
    services: Mapping[str, dict[str, str]] = NONE,
    environ: Mapping[str, str] = NONE,
    person: NameContext = ALICE,
    saved: Mapping[str, str] = NONE,
    defaults: dict[str, Any] = NONE,
    came_from: tuple[tuple[str, str], ...] = (),
) -> StsCall:
    """The call of profile `name` among `profiles`, over the AWS profiles in `aws`."""
    tables = {"profiles": profiles, "defaults": defaults, "accounts": {"prod": "111122223333"}}
    config = Config("config.toml", "", tables)
    files = AwsFiles("aws/config", "aws/credentials", aws, sso, services)
    planner = CallPlanner(config, files, environ, person, saved.get, came_from)
    return planner.call(config.profile(name))


def key(profile: dict[str, Any], **more: Any) -> str:
    return chain({"p": profile}, **more).key


def without(profile: dict[str, Any], key: str) -> dict[str, Any]:
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
IRRELEVANT = {"description": "for people", "confirm_for": 60, "renew_for": 600, "min_remaining": 100}
IRRELEVANT |= {"cache": "memory", "connect_timeout": 1, "read_timeout": 1, "ca_bundle": "ca.pem"}
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


@pytest.mark.parametrize("profile", [ROLE, ROOT, SESSION], ids=["role", "root", "session"])
def test_what_is_not_sent_does_not_change_the_key(profile: dict[str, Any]) -> None:
    edits = [{name: value} for name, value in IRRELEVANT.items()]
    assert {key({**profile, **edit}) for edit in edits} == {key(profile)}


def test_a_configured_name_is_part_of_the_key_and_a_generated_one_is_not() -> None:
    def of(user: str, host: str) -> tuple[StsCall, StsCall]:
        names = NameContext(user, host)
        return chain({"p": ROLE}, person=names), chain(
            {"p": {**ROLE, "source_identity": "{user}"}}, person=names
        )

    (generated, configured), (other, another) = of("alice", "desk"), of("bob", "train")
    assert generated.parameters["RoleSessionName"] != other.parameters["RoleSessionName"]
    assert generated.key == other.key
    assert configured.key != another.key


def test_defaults_count_as_if_written_in_the_profile() -> None:
    bare = {"role_arn": ROLE_ARN}
    defaults = {"source_profile": "admin", "region": "eu-west-1", "duration_seconds": 900}
    assert key(bare, defaults=defaults) == key({**ROLE, "duration_seconds": 900})


PROCESS = {"credential_process": "a"}
WEB = {"role_arn": ROLE_ARN, "web_identity_token_file": "t"}
ENVIRON = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "x"}
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
    bare = without(ROLE, "source_profile")
    container = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/a"}
    keys = [
        key(ROLE),
        key(bare),
        key(bare, environ=container),
        key(bare, environ={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/b"}),
        key(bare, environ={"AWS_WEB_IDENTITY_TOKEN_FILE": "t", "AWS_ROLE_ARN": ROLE_ARN}),
        key(bare, environ=ENVIRON),
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


def shape(call: StsCall) -> list[str]:
    """The operations of a chain, outermost first; with a star where a code is needed."""
    return [hop.api + ("*" if hop.needs_code else "") for hop in call.hops()]


def test_roles_with_one_device_share_one_mfa_session() -> None:
    calls = [chain({"p": {**ROLE, **OWN, "role_arn": arn}}).hops() for arn in (ROLE_ARN, ROLE_ARN + "2")]
    (first, first_mfa), (second, second_mfa) = calls
    assert (first.key != second.key, first_mfa.key) == (True, second_mfa.key)
    assert first_mfa.parameters == {"SerialNumber": DEVICE, "DurationSeconds": 43200}
    alone = chain({"p": SESSION})
    assert (alone.needs_code, set(alone.parameters)) == (True, {"SerialNumber"})


TEMPORARY = {**KEYED, "aws_session_token": "t"}


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


# Sources

SELF_KEYED = {"role_arn": f"{ROLE_ARN}2", "source_profile": "admin", **KEYED}
BARE = {"role_arn": ROLE_ARN}
DEFAULT = {"default": CHAINED, "keyed": KEYED}


@pytest.mark.parametrize(
    ("profiles", "more", "expected", "identity"),
    [
        ({"low": ROLE, "p": {**ROLE, "source_profile": "low"}}, {"defaults": OWN},
         ["AssumeRole", "AssumeRole", "GetSessionToken*"], "key:AKIAADMIN"),
        ({"admin": {**SESSION, "source_profile": "keyed"}, "p": ROLE}, {"aws": {**ADMIN, "keyed": KEYED}},
         ["AssumeRole", "GetSessionToken*"], "key:AKIAADMIN"),
        ({"p": ROLE}, {}, ["AssumeRole"], "key:AKIAADMIN"),
        ({"p": ROLE}, {"aws": {"admin": SELF_KEYED}}, ["AssumeRole", "AssumeRole"], "key:AKIAADMIN"),
        ({"p": ROLE}, {"aws": {"admin": {**BARE, "source_profile": "p"}, "p": KEYED}},
         ["AssumeRole", "AssumeRole"], "key:AKIAADMIN"),
        ({"p": BARE}, {"aws": DEFAULT}, ["AssumeRole", "AssumeRole"], "key:AKIAADMIN"),
        ({"p": BARE}, {"aws": DEFAULT, "environ": {**ENVIRON, "AWS_PROFILE": "p"}},
         ["AssumeRole"], "key:AKIAENV"),
    ],
    ids=["an inherited device is the first hop's", "a profile of credhelper comes before an AWS profile",
         "an AWS profile", "a role with keys that is its own source", "an AWS profile names AWS profiles only",
         "a role in [default]", "environment keys come before a role in [default]"],
)  # fmt: skip
def test_a_chain_has_the_hops_and_the_source_that_its_profiles_name(
    profiles: dict[str, Any], more: dict[str, Any], expected: list[str], identity: str
) -> None:
    call = chain(profiles, **more)
    assert (shape(call), call.source.identity) == (expected, identity)


def test_a_source_profile_may_name_a_target() -> None:
    open_root = without(ROOT, "target_principal")
    _, parent = chain({"open": open_root, "p": {**ROLE, "source_profile": "open@prod"}}).hops()
    assert (parent.parameters["TargetPrincipal"], parent.profile.name) == ("111122223333", "open@prod")


def test_an_aws_profile_with_a_role_is_one_call_for_all_that_depend_on_it() -> None:
    ignored = {"tags": "not of AWS's", "policy": "neither"}
    used = {"external_id": "42", "duration_seconds": "7200", "role_session_name": "me"}
    sections = {"admin": {**CHAINED, **used, **ignored}, "keyed": KEYED}
    calls = [chain({"p": {**ROLE, **edit}}, aws=sections).hops() for edit in ({}, {"external_id": "x2"})]
    (one, parent), (_, same) = calls
    sent = {"RoleArn": ROLE_ARN, "RoleSessionName": "me", "DurationSeconds": 7200, "ExternalId": "42"}
    assert parent.key == same.key != one.key
    assert parent.parameters == sent


@pytest.mark.parametrize(
    ("profile", "sections", "error", "said"),
    [
        (ROLE, {"admin": BARE}, ConfigError, "'aws/config': [profile admin] has 'role_arn' but no source"),
        (ROLE, {"admim": KEYED}, SourceError, "source_profile 'admin' is neither"),
        (ROLE, {"admin": {**CHAINED, "source_profile": "keye"}, "keyed": KEYED}, SourceError, "source_profile 'keye'"),
        ({**BARE, "source_key": "k"}, {}, SourceError, "saved key 'k' is not in the OS keyring"),
        ({**BARE, "credential_source": "Environment"}, {}, SourceError, "are not set"),
        (ROLE, {"admin": {**CHAINED, "duration_seconds": "1"}}, ConfigError, "'duration_seconds' in [profile admin]"),
        (ROLE, {"admin": {**CHAINED, "duration_seconds": "9" * 5000}}, ConfigError, "must be a whole number"),
        (ROLE, {"admin": {**CHAINED, "duration_seconds": "43201"}}, ConfigError, "must be 900 to 43200"),
        (ROLE, {"admin": {**CHAINED, "role_arn": "nonsense"}}, ConfigError, "'role_arn' in [profile admin]"),
        (ROLE, {"admin": {**BARE, "credential_source": "Moon"}}, ConfigError, "'credential_source'"),
        (ROLE, {"admin": {**CHAINED, "source_profile": "admin"}}, ConfigError,
         "profiles form a loop: AWS profile 'admin' -> AWS profile 'admin'"),
    ],
)  # fmt: skip
def test_a_source_that_does_not_exist_is_an_error_that_names_it(
    profile: dict[str, Any], sections: dict[str, dict[str, str]], error: type[CredhelperError], said: str
) -> None:
    with pytest.raises(error) as caught:
        chain({"p": profile}, aws=sections)
    assert said in caught.value.sentence
    assert ("did you mean 'admim'" in caught.value.hints) is ("admim" in sections)


# Endpoints


@pytest.mark.parametrize(
    ("profile", "environ", "region"),
    [
        ({"sts_region": "us-west-2", "region": "eu-west-1"}, {"AWS_REGION": "ap-south-1"}, "us-west-2"),
        ({"region": "eu-west-1"}, {"AWS_REGION": "ap-south-1"}, "eu-west-1"),
        ({}, {"AWS_REGION": "ap-south-1", "AWS_DEFAULT_REGION": "ca-central-1"}, "ap-south-1"),
        ({}, {"AWS_DEFAULT_REGION": "ca-central-1"}, "ca-central-1"),
        ({}, {"AWS_REGION": ""}, "sa-east-1"),
        ({"source_profile": "low"}, {}, "us-east-2"),
    ],
)
@pytest.mark.parametrize("kind", [ROLE, ROOT], ids=["role", "root"])
def test_region_is_the_first_of_profile_environment_and_source_profile(
    kind: dict[str, Any], profile: dict[str, Any], environ: dict[str, str], region: str
) -> None:
    profiles = {"low": {**ROLE, "sts_region": "us-east-2"}, "p": {**without(kind, "region"), **profile}}
    call = chain(profiles, aws={"admin": {**KEYED, "region": "sa-east-1"}}, environ=environ)
    assert call.endpoint.region == region


GLOBAL = "'p' needs a region: AssumeRoot is not on the global STS endpoint"
TASK = "arn:aws-cn:iam::aws:policy/root-task/S3UnlockBucketPolicy"


@pytest.mark.parametrize(
    ("profile", "region", "said"),
    [
        (ROOT, "", GLOBAL),
        (ROOT, "aws-global", GLOBAL),
        (BARE, "evil.example/", "region 'evil.example/' is not the name of a region"),
        ({**ROOT, "task_policy_arn": TASK}, "eu-west-1", "not in the partition of region 'eu-west-1'"),
    ],
)
def test_a_region_without_an_endpoint_for_the_call_is_refused(
    profile: dict[str, Any], region: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        chain({"p": without(profile, "region")}, environ={"AWS_REGION": region})
    assert said in caught.value.sentence


REGIONS = {"aws": "eu-west-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
REGIONS |= {"aws-eusc": "eusc-de-east-1"}


@pytest.mark.parametrize("partition", FALLBACK_REGION)
def test_the_region_decides_the_partition_of_a_task_and_the_role_that_of_a_missing_region(
    partition: str,
) -> None:
    role = {"role_arn": ROLE_ARN.replace("arn:aws:", f"arn:{partition}:"), "source_profile": "admin"}
    assert partition_of(chain({"p": role}).endpoint.region) == partition
    if partition in REGIONS:
        call = chain({"p": {**ROOT, "region": REGIONS[partition]}})
        arn = f"arn:{partition}:iam::aws:policy/root-task/S3UnlockBucketPolicy"
        assert call.parameters["TaskPolicyArn"] == {"arn": arn}


LOCAL = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("own", "environ", "section", "url"),
    [
        ({"endpoint_url": LOCAL}, {"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:2"}, {}, LOCAL),
        ({}, {"AWS_ENDPOINT_URL_STS": "sts", "AWS_ENDPOINT_URL": "all"}, {"services": "local"}, "sts"),
        ({}, {"AWS_ENDPOINT_URL": "all"}, {"services": "local"}, "all"),
        ({}, {}, {"services": "local", "endpoint_url": "profile"}, "service"),
        ({}, {}, {"endpoint_url": "profile"}, "profile"),
        ({}, {}, {"endpoint_url": "profile", "ignore_configured_endpoint_urls": "true"}, None),
        ({}, {"AWS_ENDPOINT_URL": "a", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "TRUE"}, {}, None),
        ({}, {}, {}, None),
        ({"source_profile": "low"}, {}, {}, None),
    ],
)
def test_endpoint_url_follows_the_sdks_order_and_is_not_passed_on(
    own: dict[str, str], environ: dict[str, str], section: dict[str, str], url: str | None
) -> None:
    services = {"local": {"sts": "\nendpoint_url = service"}}
    profiles = {"low": {**ROLE, "endpoint_url": LOCAL}, "p": {**ROLE, **own}}
    call = chain(profiles, aws={"admin": {**KEYED, **section}}, services=services, environ=environ)
    assert call.endpoint.url == url


# Names


def because(reason: str) -> NameContext:
    return NameContext("alice", "", lambda _: reason)


@pytest.mark.parametrize(
    ("template", "person", "sent"),
    [
        ("{user}@{host}", ALICE, "alice@desk"),
        ("{user}-{reason}", because("ticket 4711: a\nb"), "alice-ticket-4711--a-b"),
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
    call = chain({"p": {**ROLE, "tags": {"why": "{reason}"}}}, person=because("ticket 4711; <b>"))
    assert call.parameters["Tags"] == [{"Key": "why", "Value": "ticket 4711- -b-"}]


def test_a_name_with_a_missing_reason_is_an_error() -> None:
    with pytest.raises(InteractionError, match="profile 'p' needs a reason"):
        chain({"p": {**ROLE, "source_identity": "{reason}"}})


# Loops


@pytest.mark.parametrize(
    ("source", "more", "cycle"),
    [
        ("b", {}, "'p' -> 'b' -> 'p'"),
        (
            "admin",
            {"name": "b", "came_from": [("config.toml", "b"), ("config.toml", "p")]},
            "'b' -> 'p' -> 'b'",
        ),
    ],
    ids=["in the file", "through other processes"],
)
def test_a_loop_of_profiles_names_each_step(source: str, more: dict[str, Any], cycle: str) -> None:
    profiles = {"p": {**ROLE, "source_profile": source}, "b": {**ROLE, "source_profile": "p"}}
    with pytest.raises(ConfigError, match=f"profiles form a loop: {cycle}"):
        chain(profiles, **more)


@pytest.mark.parametrize(
    "text", ["", "null", "[", "3", '["a"]', '{"a": 1}', "[[1, 2, 3]]", "[" * 100000, '"ab"']
)
def test_an_invalid_chain_variable_is_empty(text: str) -> None:
    assert isinstance(read_path(text), tuple)
    assert read_path(text) == () or text in ('{"a": 1}', '["a"]')


def test_the_chain_variable_survives_any_name_and_does_not_change_a_key() -> None:
    path = (("/etc/a b.toml", 'x"'), ("\udcff", "\n"))
    assert read_path(write_path(path)) == path
    assert json.loads(write_path(path))
    call = chain({"p": ROLE})
    assert replace(call, path=()).key == call.key
