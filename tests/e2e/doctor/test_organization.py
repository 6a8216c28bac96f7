"""`credhelper doctor`: its requests to AWS, and --probe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

import requirements
import sts_faults as faults
from consult import consult, sentence
from moto_aws import moto_aws
from organization import DENIED, DENIED_BY_SCP, MANAGER, Refusal
from sandbox import AWS_CONFIG, PROFILES, PROGRAM
from sts import SOURCE_KEY_ID, SOURCE_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from organization import LoopbackAws
    from sandbox import Sandbox
    from sts import LoopbackSts

ROLE = "arn:aws:iam::999988887777:role"
BEFORE = """
[profiles.before]
role_arn = "arn:aws:iam::999988887777:role/Operator"
source_profile = "org-admin"
{settings}
"""
"""A role profile as the source of AssumeRoot."""


def _rests_on_role(sandbox: Sandbox, settings: str = "") -> None:
    profiles = PROFILES.replace('source_profile = "org-admin"', 'source_profile = "before"')
    sandbox.configure(profiles + BEFORE.format(settings=settings))


def _source_is(sandbox: Sandbox, sts: LoopbackSts, operation: str, **parameters: Any) -> None:
    """Put a session of this call into the source profile."""
    client = boto3.client(
        "sts",
        endpoint_url=sts.url,
        region_name="eu-west-1",
        aws_access_key_id=SOURCE_KEY_ID,
        aws_secret_access_key=SOURCE_SECRET,
    )
    found = getattr(client, operation)(**parameters)["Credentials"]
    sandbox.aws_config(
        f"[profile org-admin]\naws_access_key_id = {found['AccessKeyId']}\n"
        f"aws_secret_access_key = {found['SecretAccessKey']}\naws_session_token = {found['SessionToken']}\n"
    )
    sts.calls.clear()


SSO = """\
sso_account_id = 999988887777
sso_start_url = https://a.invalid
sso_region = eu-west-1
sso_role_name = x
"""


class TestSource:
    """Whose credentials sign the calls."""

    def test_unknown_access_key_is_one_problem_for_all_profiles(
        self, sandbox: Sandbox, aws: LoopbackAws
    ) -> None:
        sandbox.aws_config(AWS_CONFIG.replace(SOURCE_KEY_ID, "AKIAGONE"))

        assert "AWS does not know the access key" in sentence(sandbox, "problem", "source")
        assert aws.asked == []

    def test_source_role_is_assumed_and_recorded(self, sandbox: Sandbox, aws: LoopbackAws) -> None:
        _rests_on_role(sandbox)
        found = consult(sandbox, "unlock-bucket")

        assert found.fit
        assert "profile 'before' is 'arn:aws:sts::999988887777:assumed-role/Operator/" in str(found)
        (line,) = sandbox.audit()
        assert line["api"] == "AssumeRole"
        assert line["program"] != "refresh ahead"

    def test_refused_source_role_has_the_hint_of_get(
        self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws
    ) -> None:
        _rests_on_role(sandbox)
        sts.mode = faults.refuse("AccessDenied", "not authorized to perform: sts:AssumeRole")
        found = consult(sandbox, "unlock-bucket").only("problem", "source")

        assert "not allowed: sts:AssumeRole" in found["sentence"]
        assert "trust policy" in found["hints"][0]

    def test_source_that_prompts_or_is_a_root_session_is_a_note_and_is_not_minted(
        self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws
    ) -> None:
        asked = sandbox.home / "asked"
        ask = f'mfa_command = ["sh", "-c", "touch {asked}; echo 123456"]'
        _rests_on_role(sandbox, f'mfa_serial = "arn:aws:iam::999988887777:mfa/me"\n{ask}')
        found = consult(sandbox, "unlock-bucket")

        assert found.fit
        assert "it would prompt" in found.only("note", "source")["sentence"]
        assert not asked.exists()
        sandbox.configure(PROFILES + 'source_profile = "unlock-bucket"\n')
        assert "is a root session" in sentence(sandbox, "note", "source", "developer")
        assert sts.count() == 0

    @pytest.mark.parametrize(
        ("section", "said", "hints"),
        [
            (f"credential_process = {PROGRAM} get developer\n", "profiles form a loop", None),
            (
                SSO,
                "the login of AWS profile 'org-admin' has expired or was never made",
                ["run 'aws sso login --profile org-admin'"],
            ),
            ("credential_process = sh -c 'printf \"\\033[2Jno\" >&2; exit 1'\n", "\\x1b[2Jno", None),
        ],
        ids=["a loop through another program", "no login", "a program that fails"],
    )
    def test_source_that_fails_is_a_problem(
        self, sandbox: Sandbox, aws: LoopbackAws, section: str, said: str, hints: list[str] | None
    ) -> None:
        sandbox.aws_config(f"[profile org-admin]\n{section}")
        found = consult(sandbox, "developer").only("problem", "source")

        assert said in found["sentence"]
        assert hints in (None, found["hints"])


class TestClockAndEndpoint:
    """STS itself, asked without a signature."""

    @pytest.mark.parametrize("minutes", [-4, 4])
    def test_clock_within_5_minutes_is_fine(
        self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws, minutes: int
    ) -> None:
        sts.clock_offset = minutes * 60

        assert consult(sandbox, "developer").of("fine", "clock")

    @pytest.mark.parametrize(("jump", "said"), [("+1h", "60 min ahead of"), ("-6m", "6 min behind")])
    def test_wrong_clock_is_a_problem(self, sandbox: Sandbox, aws: LoopbackAws, jump: str, said: str) -> None:
        faked = {"LD_PRELOAD": requirements.faketime(), "DONT_FAKE_MONOTONIC": "1", "FAKETIME": jump}

        said = f"this machine's clock is wrong: it is {said} AWS's"
        assert sentence(sandbox, "problem", "clock", "developer", **faked) == said

    def test_unreachable_sts_is_the_only_problem(self, sandbox: Sandbox, aws: LoopbackAws) -> None:
        found = consult(sandbox, AWS_ENDPOINT_URL_STS="http://127.0.0.1:9")

        (said,) = found.of("problem")
        assert "cannot connect to STS at 'http://127.0.0.1:9'" in said
        assert found.of("problem", "endpoint") == [said]

    def test_captive_portal_is_a_problem(self, sandbox: Sandbox, aws: LoopbackAws) -> None:
        aws.page = faults.PORTAL.body
        found = consult(sandbox, AWS_ENDPOINT_URL_STS=aws.url).only("problem", "endpoint")

        assert "sent an answer that cannot be read" in found["sentence"]
        assert "captive portal" in found["hints"][0]


class TestPerson:
    """Whether CloudTrail will show a person as the caller of AssumeRoot."""

    @pytest.mark.parametrize(
        ("settings", "level"),
        [
            ("", "fine"),
            ('role_session_name = "ops"', "note"),
            ('role_session_name = "ops"\nsource_identity = "{user}"', "fine"),
        ],
    )
    def test_role_profile_as_source(
        self, sandbox: Sandbox, aws: LoopbackAws, settings: str, level: str
    ) -> None:
        _rests_on_role(sandbox, settings)

        assert consult(sandbox, "unlock-bucket").only(level, "person")

    @pytest.mark.parametrize(
        ("name", "level"),
        [
            ("alice@example.com", "fine"),
            ("i-0123456789abcdef0", "note"),
            ("botocore-session-1700000000", "note"),
        ],
    )
    def test_other_session_as_source(
        self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws, name: str, level: str
    ) -> None:
        """IAM Identity Center names sessions after the user, instances and SDKs do not."""
        role = f"{ROLE}/AWSReservedSSO_Admin_1"
        _source_is(sandbox, sts, "assume_role", RoleArn=role, RoleSessionName=name)

        assert name in sentence(sandbox, level, "person", "unlock-bucket")

    def test_root_user_as_source_is_a_problem(
        self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws
    ) -> None:
        policy = {"arn": "arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"}
        _source_is(sandbox, sts, "assume_root", TargetPrincipal=MANAGER, TaskPolicyArn=policy)

        assert "a root user's own" in sentence(sandbox, "problem", "person", "unlock-bucket")

    def test_assume_role_needs_neither_organization_nor_person(
        self, sandbox: Sandbox, aws: LoopbackAws
    ) -> None:
        found = consult(sandbox, "developer")

        assert not {each["check"] for each in found.findings} & {"person", "features", "organization"}
        assert aws.asked == []


FEATURES = "iam:ListOrganizationsFeatures"
ORGANIZATION = "organizations:DescribeOrganization"
DELEGATES = "organizations:ListDelegatedAdministrators"
ACCOUNT = "organizations:DescribeAccount"
ELSEWHERE = {"Organization": {"Id": "o-1", "MasterAccountId": "123456789012"}}
IAM_ONLY = {FEATURES: {"EnabledFeatures": ["RootCredentialsManagement"]}}
DELEGATED = {ORGANIZATION: ELSEWHERE, DELEGATES: {"DelegatedAdministrators": [{"Id": MANAGER}]}}
NOT_MANAGEMENT = Refusal("AccountNotManagementOrDelegatedAdministrator")
NOT_IN_USE = Refusal("AWSOrganizationsNotInUseException")
NOT_IN_ORGANIZATION = "account '111122223333' is not in the organization of the caller"


class TestOrganization:
    """What AssumeRoot needs of the organization."""

    @pytest.mark.parametrize(
        ("features", "organization", "account"),
        [
            (
                (IAM_ONLY, "problem", "S3 and SQS need it"),
                (DELEGATED, "fine", f"account '{MANAGER}' is the delegated administrator for IAM"),
                ({ACCOUNT: {"Account": {"State": "SUSPENDED"}}}, "problem", "is SUSPENDED"),
            ),
            (
                ({FEATURES: DENIED}, "note", "cannot be seen: AWS refused 'iam:ListOrganizationsFeatures'"),
                (
                    {ORGANIZATION: DENIED},
                    "note",
                    "whether the caller is IAM's delegated administrator",
                ),
                ({ACCOUNT: DENIED}, "note", "the state of account '111122223333' cannot be seen"),
            ),
            (
                ({FEATURES: Refusal("ServiceAccessNotEnabled")}, "problem", "IAM has no trusted access"),
                ({ORGANIZATION: ELSEWHERE}, "problem", "is neither the management account nor"),
                ({ACCOUNT: Refusal("AccountNotFoundException")}, "problem", NOT_IN_ORGANIZATION),
            ),
            (
                ({FEATURES: NOT_MANAGEMENT}, "problem", f"account '{MANAGER}' is neither the management"),
                ({ORGANIZATION: ELSEWHERE, DELEGATES: DENIED}, "note", "cannot be seen"),
                ({ACCOUNT: {"Account": {"State": "PENDING_CLOSURE"}}}, "problem", "is PENDING_CLOSURE"),
            ),
            (
                ({FEATURES: Refusal("OrganizationNotFound")}, "problem", "is in no organization"),
                ({ORGANIZATION: NOT_IN_USE}, "problem", "is in no organization"),
                ({ACCOUNT: {"Account": {"Status": "ACTIVE"}}}, "fine", "is ACTIVE"),
            ),
            (
                ({FEATURES: Refusal("OrganizationNotInAllFeaturesMode")}, "problem", "billing only"),
                ({}, "fine", f"account '{MANAGER}' is the management account"),
                ({}, "fine", "account '111122223333' (Payments) is ACTIVE"),
            ),
        ],
    )
    def test_organization_without_root_access_is_a_problem_and_unreadable_is_a_note(
        self, sandbox: Sandbox, aws: LoopbackAws, features, organization, account
    ) -> None:
        answers = {"features": features, "organization": organization, "target": account}
        for answer, _, _ in answers.values():
            aws.answers |= answer
        found = consult(sandbox, "unlock-bucket")

        for check, (_, level, said) in answers.items():
            assert said in found.only(level, check)["sentence"]
        assert len(found.of("problem")) == sum(level == "problem" for _, level, _ in answers.values())

    def test_iam_task_needs_its_feature_and_a_member_as_target(
        self, sandbox: Sandbox, aws: LoopbackAws
    ) -> None:
        aws.answers[FEATURES] = {"EnabledFeatures": ["RootSessions"]}
        said = sentence(sandbox, "problem", "features", "audit-root")
        assert "RootCredentialsManagement is not enabled" in said
        assert ACCOUNT not in [name for name, _, _ in aws.asked]

        said = sentence(sandbox, "problem", "target", f"audit-root@{MANAGER}")
        assert "is the management account itself" in said

    def test_profiles_with_one_source_and_target_share_the_requests(
        self, sandbox: Sandbox, aws: LoopbackAws
    ) -> None:
        again = "".join(
            f'[profiles.p{n}]\ntarget_principal = "payments-prod"\ntask_policy_arn = "SQSUnlockQueuePolicy"\n'
            for n in range(30)
        )
        sandbox.configure(PROFILES + again)
        consult(sandbox)

        assert sorted(name for name, _, _ in aws.asked) == sorted([FEATURES, ORGANIZATION, ACCOUNT])

    def test_control_characters_from_aws_are_escaped(self, sandbox: Sandbox, aws: LoopbackAws) -> None:
        aws.answers[ACCOUNT] = {"Account": {"Name": "\x1b[2J\u202eevil", "State": "ACTIVE"}}
        aws.answers[DELEGATES] = Refusal("AccessDenied\x07", "\x1b]0;x\x07")
        aws.answers[ORGANIZATION] = ELSEWHERE

        assert "\\x1b[2J\\u202eevil" in str(consult(sandbox, "unlock-bucket"))


TASKS = {
    "IAMAuditRootUserCredentials": "iam:GetAccountSummary",
    "IAMCreateRootUserPassword": "iam:GetLoginProfile",
    "IAMDeleteRootUserCredentials": "iam:GetLoginProfile",
    "S3UnlockBucketPolicy": "s3:ListBuckets",
    "SQSUnlockQueuePolicy": "sqs:ListQueues",
}


class TestProbe:
    """--probe: a session, minted and tried."""

    def test_each_task_is_tried_with_its_read_and_recorded(
        self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws
    ) -> None:
        tables = [
            f'[profiles.{task}]\ntask_policy_arn = "{task}"\ntarget_principal = "111122223333"\n'
            for task in TASKS
        ]
        sandbox.configure(PROFILES.partition("[profiles")[0] + "".join(tables))
        aws.answers["iam:GetLoginProfile"] = Refusal("NoSuchEntity", status=404)
        found = consult(sandbox, "--probe")
        minted = [issued["AccessKeyId"] for issued in sts.issued]

        assert len(found.of("fine", "probe")) == len(TASKS), str(found)
        reads = [(name, key) for name, _, key in aws.asked if key != SOURCE_KEY_ID]
        assert reads == list(zip(TASKS.values(), minted, strict=True))
        assert [line["access_key_id"] for line in sandbox.audit()] == minted

    def test_scp_that_denies_root_is_a_problem_with_the_condition_key(
        self, sandbox: Sandbox, aws: LoopbackAws
    ) -> None:
        aws.answers["s3:ListBuckets"] = DENIED_BY_SCP
        found = consult(sandbox, "unlock-bucket", "--probe").only("problem", "probe")

        assert "service control policy denies root in account '111122223333'" in found["sentence"]
        assert "aws:AssumedRoot" in found["sentence"]
        assert '"Null": {"aws:AssumedRoot": "true"}' in found["hints"][0]
        assert consult(sandbox, "unlock-bucket").fit

    def test_refused_read_or_mint_is_a_problem(
        self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws
    ) -> None:
        aws.answers["s3:ListBuckets"] = Refusal("AccessDenied", "no", 403)
        probe = ("problem", "probe", "unlock-bucket", "--probe")
        assert sentence(sandbox, *probe) == "AWS refused 's3:ListBuckets' (AccessDenied): no"

        sts.mode = faults.refuse("AccessDenied", "not authorized to perform: sts:AssumeRoot")
        assert "not allowed: sts:AssumeRoot" in sentence(sandbox, *probe)
        assert sandbox.audit()[-1]["outcome"] == "refused"

    def test_confirmation_is_a_note_without_yes_and_reason(self, sandbox: Sandbox, aws: LoopbackAws) -> None:
        rules = 'task_policy_arn = "S3UnlockBucketPolicy"\nconfirm = true\nrequire_reason = true\n'
        sandbox.configure(PROFILES.replace('task_policy_arn = "S3UnlockBucketPolicy"\n', rules))
        without = consult(sandbox, "unlock-bucket", "--probe")
        given = consult(sandbox, "unlock-bucket", "--probe", "--yes", "--reason", "ticket 4711")

        assert "not probed" in without.only("note", "probe")["sentence"]
        assert given.of("fine", "probe")
        assert [line["reason"] for line in sandbox.audit()] == ["ticket 4711"]

    def test_role_and_unknown_task_are_minted_and_no_target_is_a_note(
        self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws
    ) -> None:
        unknown = 'task_policy_arn = "arn:aws:iam::aws:policy/root-task/OfTomorrow"\n'
        sandbox.configure(PROFILES.replace('task_policy_arn = "S3UnlockBucketPolicy"\n', unknown))
        found = consult(sandbox, "--probe")
        said = {each["profile"]: each for each in found.findings if each["check"] == "probe"}

        assert "minted: 'arn:aws:sts::222233334444:assumed-role/Developer/" in said["developer"]["sentence"]
        assert said["unlock-bucket"]["sentence"] == "minted: 'arn:aws:iam::111122223333:root'"
        assert said["audit-root"]["level"] == "note"
        assert "audit-root@ACCOUNT --probe" in said["audit-root"]["hints"][0]
        assert sts.count("AssumeRoot", "AssumeRole") == 2

    def test_session_in_another_account_is_a_problem(
        self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws
    ) -> None:
        root, elsewhere = sts._root, {"TargetPrincipal": "210987654321"}
        sts._root = lambda caller, parameters: root(caller, parameters | elsewhere)
        said = sentence(sandbox, "problem", "probe", "unlock-bucket", "--probe")

        assert "'arn:aws:iam::210987654321:root', and not in account '111122223333'" in said


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_aws() as url:
        yield url


def test_organization_and_services_of_moto_are_fine(
    sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws, moto: str
) -> None:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    client = boto3.client("organizations", endpoint_url=moto, **keys)
    manager = client.create_organization(FeatureSet="ALL")["Organization"]["MasterAccountId"]
    made = client.create_account(AccountName="Payments", Email="a@example.com")["CreateAccountStatus"]
    sts.account = manager
    sandbox.environ |= {f"AWS_ENDPOINT_URL_{name}": moto for name in ("ORGANIZATIONS", "S3", "SQS")}
    sandbox.configure(PROFILES.replace("111122223333", made["AccountId"]))
    found = consult(sandbox, "unlock-bucket", "--probe")

    assert found.fit, str(found)
    assert found.of("fine", "organization") == [f"account '{manager}' is the management account"]
    assert found.of("fine", "target") == [f"account '{made['AccountId']}' (Payments) is ACTIVE"]
    assert "'s3:ListBuckets' works" in found.of("fine", "probe")[0]
    said = sentence(sandbox, "problem", "target", "audit-root@111122223333")
    assert "is not in the organization" in said
