"""What STS says when it refuses, and what we say: who, on what, under which condition, and what to do."""

from __future__ import annotations

import pytest

from credhelper.aws import errors
from credhelper.credentials import AccessKey
from credhelper.errors import CredhelperError, RefusedError, SourceError, UnreachableError, printable

import sts_faults as faults
from calls import Desk
from sts import SOURCE_KEY_ID

ADMIN = "arn:aws:sts::999988887777:assumed-role/Admin/alice"
NOT_ALLOWED = f"User: {ADMIN} is not authorized to perform: "
ON_ROOT = f"{NOT_ALLOWED}sts:AssumeRoot on resource: arn:aws:iam::111122223333:root"
ROLE_ARN = "arn:aws:iam::222233334444:role/Developer"
ON_ROLE = f"{NOT_ALLOWED}sts:AssumeRole on resource: {ROLE_ARN}"
SCP = "arn:aws:organizations::999988887777:policy/o-abcdefghij/service_control_policy/p-abcdefgh"
DENIED = "AccessDenied"
MFA = "MultiFactorAuthentication failed"
ROOT, ROLE, SESSION = "unlock-bucket", "developer", "mfa"
SESSION_PROFILE = """
[profiles.mfa]
source_profile = "org-admin"
mfa_serial = "arn:aws:iam::999988887777:mfa/me"
"""


@pytest.fixture
def desk(sandbox, monkeypatch):
    """Calls made in this process, with retries that do not wait."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    sandbox.configure(sandbox.config.read_text() + SESSION_PROFILE)
    return Desk(sandbox, monkeypatch)


def failure(desk, name, **more):
    """The error of a mint, which is printable."""
    with pytest.raises(CredhelperError) as caught:
        desk.mint(name, code="123456" if name == SESSION else None, **more)
    for text in (caught.value.sentence, *caught.value.hints):
        assert text == printable(text)
        assert "{" not in text
    return caught.value


CASES = [
    (ROOT, DENIED, f"{ON_ROOT} because no identity-based policy allows the sts:AssumeRoot action",
     "not allowed: sts:AssumeRoot on 'arn:aws:iam::111122223333:root' with the task S3UnlockBucketPolicy",
     (f"({ADMIN}) needs sts:AssumeRoot on arn:aws:iam::111122223333:root",
      "where sts:TaskPolicyArn is arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy",
      "management account or IAM's delegated administrator", "up to 3 minutes")),
    (ROOT, DENIED, ON_ROOT, "not allowed: sts:AssumeRoot on", (ADMIN,)),
    (ROOT, DENIED, "Something about organizations", "not allowed: sts:AssumeRoot on 'arn:aws:iam::111122223333:root'",
     ("AWS says: Something about organizations", "'credhelper doctor' checks the caller (the source credentials)")),
    (ROOT, DENIED, f"{ON_ROOT} with an explicit deny in a service control policy: {SCP}",
     "a service control policy denies sts:AssumeRoot on account '111122223333 (payments-prod)'",
     (SCP, f"caller: {ADMIN}")),
    (ROOT, DENIED, f"{ON_ROOT} because no service control policy allows the sts:AssumeRoot action",
     "a service control policy denies sts:AssumeRoot on account", (ADMIN,)),
    (ROOT, DENIED, f"{ON_ROOT} with an explicit deny in a resource control policy",
     "a resource control policy denies sts:AssumeRoot on account", (ADMIN,)),
    (ROOT, DENIED, f"{ON_ROOT} with an explicit deny in an identity-based policy",
     "because of the identity-based policy", (f"caller: {ADMIN}",)),
    (ROOT, DENIED, f"{ON_ROOT} because no permissions boundary allows the sts:AssumeRoot action",
     "because of the permissions boundary", (ADMIN,)),
    (ROOT, DENIED, f"{ON_ROOT} because no VPC endpoint policy allows the sts:AssumeRoot action",
     "because of the VPC endpoint policy", (ADMIN,)),
    (ROOT, "InvalidAction", "Could not find operation AssumeRoot for version 2011-06-15",
     "the endpoint in 'eu-west-1' does not know AssumeRoot", ("regional STS endpoint",)),
    # The name of a role is no reason
    (ROLE, "ValidationError", f"Invalid: {ROLE_ARN}/MaxSessionDuration", "STS refused AssumeRole: ValidationError",
     ("AWS says: Invalid: arn:",)),
    (ROLE, DENIED, ON_ROLE, f"not allowed: sts:AssumeRole on '{ROLE_ARN}'",
     (f"trust policy must name the caller ({ADMIN})", "external_id", "a role that does not exist")),
    (ROLE, DENIED, f"{ON_ROLE} because no resource-based policy allows the sts:AssumeRole action",
     f"not allowed: sts:AssumeRole on '{ROLE_ARN}'", ("trust policy must name the caller",)),
    (ROLE, DENIED, f"{ON_ROLE} because no identity-based policy allows the sts:AssumeRole action",
     f"not allowed: sts:AssumeRole on '{ROLE_ARN}'", (f"({ADMIN}) needs a policy that allows sts:AssumeRole",)),
    (ROLE, DENIED, f"{ON_ROLE} because no session policy allows the sts:AssumeRole action",
     "because of the session policy", (ADMIN,)),
    (ROLE, DENIED, f"{ON_ROLE} with an explicit deny in a service control policy",
     f"a service control policy denies sts:AssumeRole on '{ROLE_ARN}'", ("administrator of the organization", ADMIN)),
    (ROLE, DENIED, f"{ON_ROLE} with an explicit deny in a resource-based policy",
     f"not allowed: sts:AssumeRole on '{ROLE_ARN}', because of the resource-based policy", (ADMIN,)),
    (ROLE, DENIED, f"{NOT_ALLOWED}sts:TagSession on resource: {ROLE_ARN}",
     f"not allowed: sts:TagSession on '{ROLE_ARN}'", ("trust policy has to allow sts:TagSession too",)),
    (ROLE, DENIED, f"{NOT_ALLOWED}sts:SetSourceIdentity on resource: {ROLE_ARN}",
     f"not allowed: sts:SetSourceIdentity on '{ROLE_ARN}'", ("allow sts:SetSourceIdentity too",)),
    (ROLE, DENIED, f"{NOT_ALLOWED}sts:TagSession on resource: {ROLE_ARN} because no identity-based policy allows the sts:TagSession action",
     f"not allowed: sts:TagSession on '{ROLE_ARN}'", ("needs a policy that allows sts:TagSession",)),
    (ROLE, DENIED, "Roles may not be assumed by root accounts.", "a root user cannot assume a role", ("IAM user",)),
    (ROLE, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
     f"role '{ROLE_ARN}' does not allow sessions of 3600 s", ("lower 'duration_seconds'",)),
    (ROLE, "PackedPolicyTooLarge", "Packed size of session tags consumes 110% of allotted space.",
     "session policy, policy ARNs and tags together are too large", ("AWS says: Packed size", "110%")),
    (ROLE, "MalformedPolicyDocument", "Syntax errors in policy.", "STS does not understand the session policy", ("Syntax errors",)),
    (SESSION, DENIED, "Cannot call GetSessionToken with session credentials",
     "AWS profile 'org-admin' is temporary, and only a long-lived access key can call GetSessionToken", ("mfa_session = false",)),
    (SESSION, DENIED, f"{MFA} with invalid MFA one time pass code. ",
     "AWS did not accept the MFA code for 'arn:aws:iam::999988887777:mfa/me'", ("each works only once",)),
    (SESSION, DENIED, f"{MFA}, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.",
     "AWS cannot check an MFA code of 'arn:aws:iam::999988887777:mfa/me' for this user", ("device of the user",)),
    (SESSION, DENIED, f"{NOT_ALLOWED}sts:GetSessionToken on resource: * with an explicit deny in a service control policy",
     f"a policy denies sts:GetSessionToken to '{ADMIN}'", ("service control policy",)),
    (ROLE, "RegionDisabledException", "STS is not activated in this region for account:999988887777. Your account administrator can activate STS in this region using the IAM Console.",
     "STS is not activated in region 'eu-west-1' for this account", ("sts_region",)),
    (ROOT, "RegionDisabledException", "STS is not activated in this region for account:999988887777.",
     "STS is not activated in region 'eu-west-1'", ()),
    (ROLE, "SomethingNewException", "a \x9b31mnew\u2028 {reason}",
     "STS refused AssumeRole: SomethingNewException", (r"AWS says: a \x9b31mnew\u2028",)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "code", "message", "sentence", "hints"), CASES)
def test_refusal_names_what_is_not_allowed_who_asked_and_what_to_do(
    desk, sts, name, code, message, sentence, hints
):
    sts.mode = faults.refuse(code, message.replace("{reason}", ""))
    error = failure(desk, name)
    assert sentence in error.sentence
    assert [hint for hint in hints if hint not in " | ".join(error.hints)] == [], error.hints
    assert (isinstance(error, RefusedError), error.code) == (True, code)


SOURCES = [
    ("ExpiredToken", "The security token included in the request is expired", SourceError,
     "the source credentials have expired: AWS profile 'org-admin'"),
    ("ExpiredTokenException", "expired", SourceError, "the source credentials have expired"),
    ("UnrecognizedClientException", "unknown", SourceError, "AWS does not know the access key of AWS profile 'org-admin'"),
    ("Throttling", "Rate exceeded", UnreachableError, "STS is throttling requests of this account"),
    ("TooManyRequestsException", "slow", UnreachableError, "STS is throttling"),
    ("InternalFailure", "oops", UnreachableError, "STS in 'eu-west-1' is failing: InternalFailure"),
    ("InternalServerError", "oops", UnreachableError, "STS in 'eu-west-1' is failing: InternalServerError"),
    ("RequestTimeTooSkewed", "too skewed", RefusedError, "this machine's clock is wrong: it is"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "message", "kind", "sentence"), SOURCES)
@pytest.mark.parametrize("name", [ROOT, ROLE, SESSION])
def test_bad_source_is_exit_3_and_a_failing_service_exit_6_for_every_call(
    desk, sts, name, code, message, kind, sentence
):
    sts.mode = faults.refuse(code, message, 400)
    error = failure(desk, name)
    assert sentence in error.sentence
    assert type(error) is kind


# Refused by the loopback STS of itself


def test_deactivated_key_or_wrong_secret_is_a_source_error(desk):
    error = failure(desk, ROLE, access_key=AccessKey("AKIAGONE", "x"))
    unknown = "AWS does not know the access key of AWS profile 'org-admin': it was deleted or deactivated"
    assert (type(error), error.code, error.sentence) == (SourceError, "InvalidClientTokenId", unknown)
    error = failure(desk, ROLE, access_key=AccessKey(SOURCE_KEY_ID, "x"))
    assert type(error) is SourceError
    assert "the secret access key of AWS profile 'org-admin' does not belong to its" in error.sentence


@pytest.mark.parametrize(
    ("offset", "said"), [(3600, "it is 60 min behind AWS's"), (-3600, "it is 60 min ahead of AWS's")]
)
def test_wrong_clock_is_reported_with_size_and_direction(desk, sts, offset, said):
    sts.clock_offset = offset
    assert failure(desk, ROLE).sentence == f"this machine's clock is wrong: {said}"


def test_chained_role_for_over_an_hour_names_the_setting(desk, sts):
    first = desk.mint(ROLE).credentials.access_key
    error = failure(desk, ROLE, access_key=first, duration_seconds=7200)
    assert "lasts at most 1 hour, and 7200 s were asked for" in error.sentence
    assert error.hints == ("set duration_seconds = 3600 in this profile",)


def test_expired_source_session_is_reported(desk, sts):
    sts.script.append(faults.expires_in(120))
    first = desk.mint(ROLE).credentials.access_key
    sts.clock_offset = 130
    sts.check_clock = False
    assert "the source credentials have expired" in failure(desk, ROLE, access_key=first).sentence


def test_used_mfa_code_is_reported(desk):
    desk.mint(SESSION, code="123456")
    assert "AWS did not accept the MFA code" in failure(desk, SESSION).sentence


def test_expired_source_is_named_as_a_profile_or_with_its_login_command(desk, sts):
    sts.mode = faults.refuse("ExpiredToken", "expired")
    error = failure(desk, ROLE, source_profile="unlock-bucket")
    assert error.sentence == "the source credentials have expired: profile 'unlock-bucket'"
    desk.sandbox.aws_config(
        "[profile org-admin]\nsso_start_url = https://x/start\nsso_region = eu-west-1\n"
        "sso_account_id = 111122223333\nsso_role_name = Admin\n"
    )
    assert failure(desk, ROLE).hints == ("run 'aws sso login --profile org-admin'",)


def test_no_row_of_the_table_hides_a_later_one():
    for number, row in enumerate(errors.TABLE):
        for earlier in errors.TABLE[:number]:
            hides = earlier.message == "" and earlier.code == row.code and set(row.apis) <= set(earlier.apis)
            assert not hides, (earlier.sentence, row.sentence)


@pytest.mark.parametrize(
    ("seconds", "spelt"),
    [(30, "30 s behind"), (-30, "30 s ahead of"), (7200, "120 min behind"), (-180, "3 min ahead of")],
)
def test_skew_is_spelt_in_seconds_or_minutes(seconds, spelt):
    assert errors.spell_skew(seconds) == spelt
