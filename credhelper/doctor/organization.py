"""What AssumeRoot needs of the organization, as far as the caller may see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from credhelper.config.aws_names import IAM_FEATURE, PROPAGATION, SESSIONS_FEATURE, feature_of, short_task
from credhelper.doctor.findings import advice, fine, note, problem
from credhelper.errors import CredhelperError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from credhelper.doctor.cases import Case
    from credhelper.doctor.findings import Finding
    from credhelper.doctor.runner import Caller

IAM: Final = "iam.amazonaws.com"
_ENABLE: Final = {
    IAM_FEATURE: "aws iam enable-organizations-root-credentials-management",
    SESSIONS_FEATURE: "aws iam enable-organizations-root-sessions",
}
_USE_ANOTHER: Final = "use source credentials of the management account or of IAM's delegated administrator"
_KNOWN: Final = {
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
"""What AWS says by its code where AssumeRoot cannot work (IAM and Organizations, API references)."""


def checks(caller: Caller, cases: Sequence[Case]) -> Iterator[Finding]:
    """The features that the tasks need, the caller's standing, and the state of each target."""
    yield from _features(caller, cases)
    manager = yield from _standing(caller)
    yield from _targets(caller, cases, manager)


def _features(caller: Caller, cases: Sequence[Case]) -> Iterator[Finding]:
    try:
        enabled = caller.ask("iam", "ListOrganizationsFeatures").get("EnabledFeatures", [])
    except CredhelperError as error:
        yield _unseen("features", "which root features are enabled", error, caller)
        return
    for feature in sorted({_needed(case) for case in cases}):
        if feature in enabled:
            yield fine("features", f"{feature} is enabled in the organization")
        else:
            tasks = "IAM" if feature == IAM_FEATURE else "S3 and SQS"
            yield problem(
                "features",
                f"{feature} is not enabled in the organization, and root tasks of {tasks} need it",
                f"run '{_ENABLE[feature]}'",
                PROPAGATION,
            )


def _needed(case: Case) -> str:
    return feature_of(short_task(case.call.parameters["TaskPolicyArn"]["arn"]))


def _standing(caller: Caller) -> Generator[Finding, None, str]:
    """Whether the caller's account may call AssumeRoot; returns the management account, where it is seen."""
    account, manager = caller.account, ""
    try:
        found = caller.ask("organizations", "DescribeOrganization")["Organization"]
        manager = str(found["MasterAccountId"])
        if account == manager:
            yield fine("organization", f"account '{account}' is the management account")
            return manager
        delegates = caller.pages("organizations", "ListDelegatedAdministrators", ServicePrincipal=IAM)
    except CredhelperError as error:
        yield _unseen("organization", "whether the caller is IAM's delegated administrator", error, caller)
        return manager
    known = {each["Id"] for page in delegates for each in page.get("DelegatedAdministrators", [])}
    if account in known:
        yield fine("organization", f"account '{account}' is the delegated administrator for IAM")
    else:
        sentence, hint = _KNOWN["AccountNotManagementOrDelegatedAdministrator"]
        yield problem("organization", sentence.format(account=account), hint, PROPAGATION)
    return manager


def _targets(caller: Caller, cases: Sequence[Case], manager: str) -> Iterator[Finding]:
    aimed = {case.call.profile.account_id: case for case in reversed(cases) if case.aimed}
    for account, case in aimed.items():
        if account == manager:
            sentence = f"account '{account}' is the management account itself: AssumeRoot works on members"
            yield problem("target", sentence, "use its own root user", profile=case.name)
            continue
        try:
            found = caller.ask("organizations", "DescribeAccount", AccountId=account)["Account"]
        except CredhelperError as error:
            yield _unknown(str(account), case, error, caller)
            if isinstance(error, UnreachableError):
                return
            continue
        state = found.get("State") or found.get("Status")  # AWS is retiring Status
        sentence = f"account '{account}' ({found.get('Name')}) is {state}"
        if state == "ACTIVE":
            yield fine("target", sentence, case.name)
        else:
            hint = "a closed account can be reopened for 90 days, a suspended one by AWS Support"
            yield problem("target", sentence, hint, profile=case.name)


def _unknown(account: str, case: Case, error: CredhelperError, caller: Caller) -> Finding:
    if (error.code or "").startswith("AccountNotFound"):
        return problem(
            "target",
            f"account '{account}' is not in the organization of the caller",
            "check the account id, and that the source belongs to the right organization",
            profile=case.name,
        )
    return _unseen("target", f"the state of account '{account}'", error, caller)


def _unseen(check: str, what: str, error: CredhelperError, caller: Caller) -> Finding:
    """What AWS does not answer: a problem where it says that AssumeRoot cannot work, a note otherwise."""
    for code, (sentence, hint) in _KNOWN.items():
        if (error.code or "").startswith(code):
            return problem(check, sentence.format(account=caller.account), hint)
    return note(check, f"{what} cannot be seen: {error.sentence}", *advice(error))
