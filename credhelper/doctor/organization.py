"""Checks of the organization that AssumeRoot needs, as far as the caller may read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from credhelper.config.aws_names import IAM_FEATURE, PROPAGATION, SESSIONS_FEATURE, feature_of, short_task
from credhelper.doctor.findings import fine, hints_for, note, problem
from credhelper.errors import CredhelperError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from credhelper.doctor.findings import Finding
    from credhelper.doctor.runner import SourceIdentity, ValidProfile

IAM: Final = "iam.amazonaws.com"
_ENABLE: Final = {
    IAM_FEATURE: "aws iam enable-organizations-root-credentials-management",
    SESSIONS_FEATURE: "aws iam enable-organizations-root-sessions",
}
_USE_ANOTHER: Final = "use source credentials of the management account or of IAM's delegated administrator"
_ERRORS: Final = {
    "ServiceAccessNotEnabled": (
        "IAM has no trusted access to the organization, so no root access is enabled",
        f"in its management account: 'aws organizations enable-aws-service-access --service-principal {IAM}'",
    ),
    "AccountNotManagementOrDelegatedAdministrator": (
        "account '{account}' is neither the management account nor IAM's delegated administrator",
        _USE_ANOTHER,
    ),
    "OrganizationNotFound": ("account '{account}' is in no organization", _USE_ANOTHER),
    "AWSOrganizationsNotInUse": ("account '{account}' is in no organization", _USE_ANOTHER),
    "OrganizationNotInAllFeaturesMode": (
        "the organization has consolidated billing only, and root access needs all its features",
        "in its management account: 'aws organizations enable-all-features'",
    ),
}
"""Sentence and hint for each error code that rules out AssumeRoot (IAM and Organizations, API references)."""


def checks(identity: SourceIdentity, profiles: Sequence[ValidProfile]) -> Iterator[Finding]:
    """Check the root access features, the caller's account, and the state of each target."""
    yield from _features(identity, profiles)
    management_account = yield from _account(identity)
    yield from _targets(identity, profiles, management_account)


def _features(identity: SourceIdentity, profiles: Sequence[ValidProfile]) -> Iterator[Finding]:
    try:
        enabled = identity.ask("iam", "ListOrganizationsFeatures").get("EnabledFeatures", [])
    except CredhelperError as error:
        yield _unreadable("features", "which root features are enabled", error, identity)
        return
    tasks = (short_task(each.call.parameters["TaskPolicyArn"]["arn"]) for each in profiles)
    for feature in sorted({feature_of(task) for task in tasks}):
        if feature in enabled:
            yield fine("features", f"{feature} is enabled in the organization")
        else:
            services = "IAM" if feature == IAM_FEATURE else "S3 and SQS"
            yield problem(
                "features",
                f"{feature} is not enabled in the organization, and root tasks of {services} need it",
                f"run '{_ENABLE[feature]}'",
                PROPAGATION,
            )


def _account(identity: SourceIdentity) -> Generator[Finding, None, str]:
    """Whether the caller's account may call AssumeRoot; returns the management account, '' if unreadable."""
    account, management_account = identity.account, ""
    try:
        found = identity.ask("organizations", "DescribeOrganization")["Organization"]
        management_account = str(found["MasterAccountId"])
        if account == management_account:
            yield fine("organization", f"account '{account}' is the management account")
            return management_account
        pages = identity.pages("organizations", "ListDelegatedAdministrators", ServicePrincipal=IAM)
    except CredhelperError as error:
        what = "whether the caller is IAM's delegated administrator"
        yield _unreadable("organization", what, error, identity)
        return management_account
    if account in {each["Id"] for page in pages for each in page.get("DelegatedAdministrators", [])}:
        yield fine("organization", f"account '{account}' is the delegated administrator for IAM")
    else:
        sentence, hint = _ERRORS["AccountNotManagementOrDelegatedAdministrator"]
        yield problem("organization", sentence.format(account=account), hint, PROPAGATION)
    return management_account


def _targets(
    identity: SourceIdentity, profiles: Sequence[ValidProfile], management_account: str
) -> Iterator[Finding]:
    targets = {each.call.profile.account_id: each.name for each in reversed(profiles) if each.has_target}
    for account, name in targets.items():
        if account == management_account:
            sentence = f"account '{account}' is the management account itself: AssumeRoot works on members"
            yield problem("target", sentence, "use its own root user", profile=name)
            continue
        try:
            found = identity.ask("organizations", "DescribeAccount", AccountId=account)["Account"]
        except CredhelperError as error:
            yield _unknown(str(account), name, error, identity)
            if isinstance(error, UnreachableError):
                return
            continue
        state = found.get("State") or found.get("Status")  # AWS is retiring Status
        sentence = f"account '{account}' ({found.get('Name')}) is {state}"
        if state == "ACTIVE":
            yield fine("target", sentence, name)
        else:
            hint = "a closed account can be reopened for 90 days, a suspended one by AWS Support"
            yield problem("target", sentence, hint, profile=name)


def _unknown(account: str, name: str, error: CredhelperError, identity: SourceIdentity) -> Finding:
    if (error.code or "").startswith("AccountNotFound"):
        return problem(
            "target",
            f"account '{account}' is not in the organization of the caller",
            "check the account id, and that the source belongs to the right organization",
            profile=name,
        )
    return _unreadable("target", f"the state of account '{account}'", error, identity)


def _unreadable(check: str, what: str, error: CredhelperError, identity: SourceIdentity) -> Finding:
    """A problem if the error rules out AssumeRoot; a note if the caller just may not read it."""
    for code, (sentence, hint) in _ERRORS.items():
        if (error.code or "").startswith(code):
            return problem(check, sentence.format(account=identity.account), hint)
    return note(check, f"{what} cannot be seen: {error.sentence}", *hints_for(error))
