"""`credhelper doctor`: what it asks of AWS, and the probe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

import requirements
import sts_faults as faults
from consult import consult
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
"""A role of ours before AssumeRoot."""


def _rests_on_role(sandbox: Sandbox, settings: str = "") -> None:
    profiles = PROFILES.replace('source_profile = "org-admin"', 'source_profile = "before"')
    sandbox.configure(profiles + BEFORE.format(settings=settings))


def _source_is(sandbox: Sandbox, sts: LoopbackSts, operation: str, **parameters: Any) -> None:
    """Let the AWS profile that everything rests on hold a session of this call."""
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


class TestSource:
    """Whose credentials make the calls."""

    def test_keys_that_aws_does_not_know(self, sandbox: Sandbox, aws: LoopbackAws) -> None:
        """One problem for all profiles that rest on them, and nothing is asked of the organization."""
        sandbox.aws_config(AWS_CONFIG.replace(SOURCE_KEY_ID, "AKIAGONE"))
        found = consult(sandbox)

        assert "AWS does not know the access key" in found.only("problem", "source")["sentence"]
        assert aws.asked == []

    def test_a_role_is_assumed(self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws) -> None:
        """To see that it can be; the record has it, and no root session is made."""
        _rests_on_role(sandbox)
        found = consult(sandbox, "unlock-bucket")

        assert found.fit
        assert "profile 'before' is 'arn:aws:sts::999988887777:assumed-role/Operator/" in str(found)
        assert [line["api"] for line in sandbox.audit()] == ["AssumeRole"]
        assert sandbox.audit()[0]["program"] != "refresh ahead"

    def test_a_role_that_is_refused(self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws) -> None:
        """With the hint that `get` would give."""
        _rests_on_role(sandbox)
        sts.mode = faults.refuse("AccessDenied", "not authorized to perform: sts:AssumeRole")
        found = consult(sandbox, "unlock-bucket").only("problem", "source")

        assert "not allowed: sts:AssumeRole" in found["sentence"]
        assert "trust policy" in found["hints"][0]

    def test_a_person_would_be_asked(self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws) -> None:
        """A code for the role before: a note, nobody is asked although there is a way, nothing minted."""
        asked = sandbox.home / "asked"
        ask = f'mfa_command = ["sh", "-c", "touch {asked}; echo 123456"]'
        _rests_on_role(sandbox, f'mfa_serial = "arn:aws:iam::999988887777:mfa/me"\n{ask}')
        found = consult(sandbox, "unlock-bucket")

        assert found.fit
        assert "a person would be asked" in found.only("note", "source")["sentence"]
        assert sts.count() == 0
        assert not asked.exists()

    def test_a_root_session_is_not_minted_for_a_look(
        self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws
    ) -> None:
        """A profile that rests on AssumeRoot is not followed."""
        sandbox.configure(PROFILES + 'source_profile = "unlock-bucket"\n')
        found = consult(sandbox, "developer")

        assert "is a root session" in found.only("note", "source")["sentence"]
        assert sts.count() == 0

    def test_a_loop_through_other_programs(
        self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws
    ) -> None:
        """A source that runs us for the profile that it is the source of."""
        sandbox.aws_config(f"[profile org-admin]\ncredential_process = {PROGRAM} get developer\n")
        found = consult(sandbox, "developer")

        assert "profiles form a loop" in found.only("problem", "source")["sentence"]

    def test_a_login_that_was_never_made(self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws) -> None:
        """The command that makes it is in the hint."""
        sso = "sso_start_url = https://a.invalid\nsso_region = eu-west-1\nsso_role_name = x\n"
        sandbox.aws_config(f"[profile org-admin]\nsso_account_id = 999988887777\n{sso}")
        found = consult(sandbox).only("problem", "source")

        assert "the login of AWS profile 'org-admin' has expired or was never made" in found["sentence"]
        assert found["hints"] == ["run 'aws sso login --profile org-admin'"]

    def test_a_program_that_fails(self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws) -> None:
        """Its own words are in the sentence, without its control characters."""
        sandbox.aws_config(
            "[profile org-admin]\ncredential_process = sh -c 'printf \"\\033[2Jno\" >&2; exit 1'\n"
        )

        assert "\\x1b[2Jno" in consult(sandbox, "developer").only("problem", "source")["sentence"]


class TestClockAndEndpoint:
    """STS itself, asked without a signature."""

    @pytest.mark.parametrize("minutes", [-4, 4])
    def test_a_clock_that_is_good_enough(
        self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws, minutes: int
    ) -> None:
        """AWS accepts 5 minutes."""
        sts.clock_offset = minutes * 60

        assert consult(sandbox, "developer").of("fine", "clock")

    @pytest.mark.parametrize(("jump", "said"), [("+1h", "60 min ahead of"), ("-6m", "6 min behind")])
    def test_a_clock_that_is_wrong(self, sandbox: Sandbox, aws: LoopbackAws, jump: str, said: str) -> None:
        """The real program under another clock: by how much, and which way."""
        faked = {"LD_PRELOAD": requirements.faketime(), "DONT_FAKE_MONOTONIC": "1", "FAKETIME": jump}
        found = consult(sandbox, "developer", **faked).only("problem", "clock")

        assert found["sentence"] == f"this machine's clock is wrong: it is {said} AWS's"

    def test_nobody_there(self, sandbox: Sandbox, aws: LoopbackAws) -> None:
        """A port that nobody listens at: one problem, and no source is asked for in vain."""
        found = consult(sandbox, AWS_ENDPOINT_URL_STS="http://127.0.0.1:9")

        assert len(found.of("problem")) == 1
        assert (
            "cannot connect to STS at 'http://127.0.0.1:9'" in found.only("problem", "endpoint")["sentence"]
        )

    def test_a_captive_portal(self, sandbox: Sandbox, aws: LoopbackAws) -> None:
        """A web page is no answer."""
        aws.page = faults.PORTAL.body
        found = consult(sandbox, AWS_ENDPOINT_URL_STS=aws.url).only("problem", "endpoint")

        assert "sent an answer that cannot be read" in found["sentence"]
        assert "captive portal" in found["hints"][0]


class TestPerson:
    """Whether AWS's record will say who it was before AssumeRoot."""

    @pytest.mark.parametrize(
        ("settings", "level"),
        [
            ("", "fine"),
            ('role_session_name = "ops"', "note"),
            ('role_session_name = "ops"\nsource_identity = "{user}"', "fine"),
        ],
    )
    def test_a_role_of_ours(
        self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws, settings: str, level: str
    ) -> None:
        """By its session name or its source identity."""
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
    def test_a_session_from_elsewhere(
        self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws, name: str, level: str
    ) -> None:
        """IAM Identity Center names it after the person, instances and SDKs do not."""
        role = f"{ROLE}/AWSReservedSSO_Admin_1"
        _source_is(sandbox, sts, "assume_role", RoleArn=role, RoleSessionName=name)
        found = consult(sandbox, "unlock-bucket").only(level, "person")

        assert name in found["sentence"]

    def test_a_root_user(self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws) -> None:
        """It cannot call AssumeRoot at all."""
        policy = {"arn": "arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"}
        _source_is(sandbox, sts, "assume_root", TargetPrincipal=MANAGER, TaskPolicyArn=policy)

        assert "a root user's own" in consult(sandbox, "unlock-bucket").only("problem", "person")["sentence"]

    def test_only_before_assume_root(self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws) -> None:
        """For AssumeRole nothing is asked of the organization, and nobody has to be named before it."""
        found = consult(sandbox, "developer")

        assert not [
            each for each in found.findings if each["check"] in ("person", "features", "organization")
        ]
        assert aws.asked == []


FEATURES = "iam:ListOrganizationsFeatures"
ORGANIZATION = "organizations:DescribeOrganization"
DELEGATES = "organizations:ListDelegatedAdministrators"
ACCOUNT = "organizations:DescribeAccount"
ELSEWHERE = {"Organization": {"Id": "o-1", "MasterAccountId": "123456789012"}}


class TestOrganization:
    """What AssumeRoot needs there, and what the caller may not see."""

    @pytest.mark.parametrize(
        ("features", "organization", "account"),
        [
            (
                (
                    {FEATURES: {"EnabledFeatures": ["RootCredentialsManagement"]}},
                    "problem",
                    "S3 and SQS need it",
                ),
                (
                    {ORGANIZATION: ELSEWHERE, DELEGATES: {"DelegatedAdministrators": [{"Id": MANAGER}]}},
                    "fine",
                    "account '999988887777' is the delegated administrator for IAM",
                ),
                ({ACCOUNT: {"Account": {"State": "SUSPENDED"}}}, "problem", "is SUSPENDED"),
            ),
            (
                ({FEATURES: DENIED}, "note", "cannot be seen: AWS refused 'iam:ListOrganizationsFeatures'"),
                (
                    {ORGANIZATION: DENIED},
                    "note",
                    "whether the caller is IAM's delegated administrator cannot",
                ),
                ({ACCOUNT: DENIED}, "note", "the state of account '111122223333' cannot be seen"),
            ),
            (
                ({FEATURES: Refusal("ServiceAccessNotEnabled")}, "problem", "IAM has no trusted access"),
                ({ORGANIZATION: ELSEWHERE}, "problem", "is neither the management account nor"),
                (
                    {ACCOUNT: Refusal("AccountNotFoundException")},
                    "problem",
                    "account '111122223333' is not in the organization of the caller",
                ),
            ),
            (
                (
                    {FEATURES: Refusal("AccountNotManagementOrDelegatedAdministrator")},
                    "problem",
                    "account '999988887777' is neither the management account nor",
                ),
                ({ORGANIZATION: ELSEWHERE, DELEGATES: DENIED}, "note", "cannot be seen"),
                ({ACCOUNT: {"Account": {"State": "PENDING_CLOSURE"}}}, "problem", "is PENDING_CLOSURE"),
            ),
            (
                ({FEATURES: Refusal("OrganizationNotFound")}, "problem", "is in no organization"),
                (
                    {ORGANIZATION: Refusal("AWSOrganizationsNotInUseException")},
                    "problem",
                    "is in no organization",
                ),
                ({ACCOUNT: {"Account": {"Status": "ACTIVE"}}}, "fine", "is ACTIVE"),
            ),
            (
                ({FEATURES: Refusal("OrganizationNotInAllFeaturesMode")}, "problem", "billing only"),
                ({}, "fine", "account '999988887777' is the management account"),
                ({}, "fine", "account '111122223333' (Payments) is ACTIVE"),
            ),
        ],
    )
    def test_what_aws_says(self, sandbox: Sandbox, aws: LoopbackAws, features, organization, account) -> None:
        """A problem where AssumeRoot cannot work, a note where it cannot be seen; the rest is fine."""
        answers = {"features": features, "organization": organization, "target": account}
        for answer, _, _ in answers.values():
            aws.answers |= answer
        found = consult(sandbox, "unlock-bucket")

        for check, (_, level, said) in answers.items():
            assert said in found.only(level, check)["sentence"]
        assert len(found.of("problem")) == sum(level == "problem" for _, level, _ in answers.values())

    def test_the_other_feature(self, sandbox: Sandbox, aws: LoopbackAws) -> None:
        """Tasks of IAM need the other one, also where the target is open; no account is looked at then."""
        aws.answers[FEATURES] = {"EnabledFeatures": ["RootSessions"]}
        found = consult(sandbox, "audit-root")

        assert "RootCredentialsManagement is not enabled" in found.only("problem", "features")["sentence"]
        assert ACCOUNT not in [name for name, _, _ in aws.asked]

    def test_the_management_account_as_target(self, sandbox: Sandbox, aws: LoopbackAws) -> None:
        """Its root is out of reach of AssumeRoot."""
        found = consult(sandbox, f"audit-root@{MANAGER}").only("problem", "target")

        assert "is the management account itself" in found["sentence"]

    def test_asked_once_however_many_profiles(self, sandbox: Sandbox, aws: LoopbackAws) -> None:
        """Profiles that share a source and a target share the answers."""
        again = "".join(
            f'[profiles.p{n}]\ntarget_principal = "payments-prod"\ntask_policy_arn = "SQSUnlockQueuePolicy"\n'
            for n in range(30)
        )
        sandbox.configure(PROFILES + again)
        consult(sandbox)

        assert sorted(name for name, _, _ in aws.asked) == sorted([FEATURES, ORGANIZATION, ACCOUNT])

    def test_hostile_answers(self, sandbox: Sandbox, aws: LoopbackAws) -> None:
        """Names of accounts and messages of AWS move no cursor: `consult` looks at every sentence."""
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
    """A session, minted and tried."""

    def test_every_task(self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws) -> None:
        """Each is tried with the read that its policy allows, signed by its own session; all are recorded."""
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

    def test_an_scp_that_denies_root(self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws) -> None:
        """AssumeRoot works and nothing else does: the sentence names the condition key."""
        aws.answers["s3:ListBuckets"] = DENIED_BY_SCP
        found = consult(sandbox, "unlock-bucket", "--probe").only("problem", "probe")

        assert "service control policy denies root in account '111122223333'" in found["sentence"]
        assert "aws:AssumedRoot" in found["sentence"]
        assert '"Null": {"aws:AssumedRoot": "true"}' in found["hints"][0]
        assert consult(sandbox, "unlock-bucket").fit

    def test_another_refusal(self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws) -> None:
        """Quoted as it came."""
        aws.answers["s3:ListBuckets"] = Refusal("AccessDenied", "no", 403)
        found = consult(sandbox, "unlock-bucket", "--probe").only("problem", "probe")

        assert found["sentence"] == "AWS refused 's3:ListBuckets' (AccessDenied): no"

    def test_a_mint_that_is_refused(self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws) -> None:
        """With the hints of `get`, and in the record."""
        sts.mode = faults.refuse("AccessDenied", "not authorized to perform: sts:AssumeRoot")
        found = consult(sandbox, "unlock-bucket", "--probe").only("problem", "probe")

        assert "not allowed: sts:AssumeRoot" in found["sentence"]
        assert sandbox.audit()[0]["outcome"] == "refused"

    def test_confirmation(self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws) -> None:
        """Nobody is asked: a note without --yes and --reason, a session with them."""
        rules = 'task_policy_arn = "S3UnlockBucketPolicy"\nconfirm = true\nrequire_reason = true\n'
        sandbox.configure(PROFILES.replace('task_policy_arn = "S3UnlockBucketPolicy"\n', rules))
        without = consult(sandbox, "unlock-bucket", "--probe")
        given = consult(sandbox, "unlock-bucket", "--probe", "--yes", "--reason", "ticket 4711")

        assert "not probed" in without.only("note", "probe")["sentence"]
        assert given.of("fine", "probe")
        assert [line["reason"] for line in sandbox.audit()] == ["ticket 4711"]

    def test_roles_and_open_targets(self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws) -> None:
        """A role is asked who it is, and so is a task that we do not know; an open target is not probed."""
        unknown = 'task_policy_arn = "arn:aws:iam::aws:policy/root-task/OfTomorrow"\n'
        sandbox.configure(PROFILES.replace('task_policy_arn = "S3UnlockBucketPolicy"\n', unknown))
        found = consult(sandbox, "--probe")
        said = {each["profile"]: each for each in found.findings if each["check"] == "probe"}

        assert "minted: 'arn:aws:sts::222233334444:assumed-role/Developer/" in said["developer"]["sentence"]
        assert said["unlock-bucket"]["sentence"] == "minted: 'arn:aws:iam::111122223333:root'"
        assert said["audit-root"]["level"] == "note"
        assert "audit-root@ACCOUNT --probe" in said["audit-root"]["hints"][0]
        assert sts.count("AssumeRoot", "AssumeRole") == 2

    def test_a_session_in_another_account(self, sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws) -> None:
        """A trust in the endpoint that is misplaced shows."""
        original = sts._root
        sts._root = lambda caller, parameters: original(
            caller, {**parameters, "TargetPrincipal": "210987654321"}
        )
        found = consult(sandbox, "unlock-bucket", "--probe").only("problem", "probe")

        assert "'arn:aws:iam::210987654321:root', and not in account '111122223333'" in found["sentence"]


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """moto's server."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_moto_agrees(sandbox: Sandbox, sts: LoopbackSts, aws: LoopbackAws, moto: str) -> None:
    """The organization and the services of others: all is fine, one account is there and one is not."""
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
    assert (
        "is not in the organization" in consult(sandbox, "audit-root@111122223333").of("problem", "target")[0]
    )
