"""The check `--probe`: mint a session, and make one read with it that its task allows.

Only this shows a service control policy that denies root: it applies in the member account, where AssumeRoot
itself succeeds.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from credhelper.config.aws_names import short_task
from credhelper.config.keys import ROOT
from credhelper.doctor.findings import fine, from_error, hints_for, note, problem
from credhelper.doctor.runner import ASK_SECONDS, valid_profiles
from credhelper.errors import CredhelperError, InteractionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.credentials import AccessKey
    from credhelper.doctor.findings import Finding
    from credhelper.doctor.runner import Examination
    from credhelper.sessions.calls import StsCall

MINT_SECONDS: Final = 10.0
READS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "IAMAuditRootUserCredentials": ("iam", "GetAccountSummary", {}),
    "IAMCreateRootUserPassword": ("iam", "GetLoginProfile", {}),
    "IAMDeleteRootUserCredentials": ("iam", "GetLoginProfile", {}),
    "S3UnlockBucketPolicy": ("s3", "ListBuckets", {"MaxBuckets": 1}),
    "SQSUnlockQueuePolicy": ("sqs", "ListQueues", {"MaxResults": 1}),
}
"""A read that the policy of each root task allows (version v1 of the policies)."""

_DENIED: Final = ("AccessDenied", "AccessDeniedException")
_BY_ORGANIZATION: Final = re.compile(r"\b(?:service|resource) control policy\b")


def checks(examination: Examination) -> Iterator[Finding]:
    """Probe each profile, if --probe is given."""
    for each in valid_profiles(examination) if examination.probe else ():
        if not each.has_target:
            hint = f"name one: 'credhelper doctor {each.name}@ACCOUNT --probe'"
            yield note("probe", "not probed: it has no target account", hint, profile=each.name)
            continue
        for finding in _probe(each.call, examination):
            yield replace(finding, profile=each.name)


def _probe(call: StsCall, examination: Examination) -> Iterator[Finding]:
    provider = examination.provider(MINT_SECONDS)
    try:
        access_key = provider.get(call, mode="mint").access_key
        yield from _try(call, access_key, examination)
    except InteractionError as error:
        yield note("probe", f"not probed: {error.sentence}", *hints_for(error))
    except CredhelperError as error:
        yield from_error("probe", error)


def _try(call: StsCall, access_key: AccessKey, examination: Examination) -> Iterator[Finding]:
    from credhelper.aws.services import Services

    region = call.profile.get("region") or call.endpoint.region
    services = Services(replace(call.endpoint, region=region), call.source)
    who = services.ask(access_key, "sts", "GetCallerIdentity", examination.seconds(ASK_SECONDS))
    account = call.profile.account_id
    if account not in (None, who["Account"]):
        sentence = f"the session is '{who['Arn']}', and not in account '{account}'"
        yield problem("probe", sentence, "do not use it")
        return
    task = call.parameters["TaskPolicyArn"]["arn"] if call.profile.kind == ROOT else ""
    if short_task(task) not in READS:
        yield fine("probe", f"minted: '{who['Arn']}'")
        return
    service, operation, parameters = READS[short_task(task)]
    try:
        services.ask(access_key, service, operation, examination.seconds(ASK_SECONDS), **parameters)
    except CredhelperError as error:
        if error.code != "NoSuchEntity":  # the read worked: root has no password
            yield _refused(f"{service}:{operation}", str(who["Account"]), error)
            return
    yield fine("probe", f"minted: '{who['Arn']}', and '{service}:{operation}' works")


def _refused(what: str, account: str, error: CredhelperError) -> Finding:
    if error.code in _DENIED and (policy := _BY_ORGANIZATION.search(error.sentence)):
        return problem(
            "probe",
            f"a {policy[0]} denies root in account '{account}' and does not exempt AssumeRoot by "
            f"aws:AssumedRoot: it refused '{what}'",
            'add "Null": {"aws:AssumedRoot": "true"} to the condition of the statement that denies root',
            "under Control Tower, set ExemptAssumeRoot of the control AWS-GR_RESTRICT_ROOT_USER",
        )
    return from_error("probe", error)
