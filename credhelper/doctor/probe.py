"""The proof: a session is minted and tried with a read that its task allows and that changes nothing.

Service control policies that deny root strike only here, in the member account: AssumeRoot itself succeeds.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from credhelper.config.aws_names import short_task
from credhelper.config.keys import ROOT
from credhelper.doctor.cases import sound
from credhelper.doctor.findings import advice, fine, note, problem, trouble
from credhelper.errors import CredhelperError, HumanNeededError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.credentials import AccessKey
    from credhelper.doctor.findings import Finding
    from credhelper.doctor.runner import Visit
    from credhelper.sessions.calls import StsCall

MINT_SECONDS: Final = 10.0
ASK_SECONDS: Final = 4.0
READS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "IAMAuditRootUserCredentials": ("iam", "GetAccountSummary", {}),
    "IAMCreateRootUserPassword": ("iam", "GetLoginProfile", {}),
    "IAMDeleteRootUserCredentials": ("iam", "GetLoginProfile", {}),
    "S3UnlockBucketPolicy": ("s3", "ListBuckets", {"MaxBuckets": 1}),
    "SQSUnlockQueuePolicy": ("sqs", "ListQueues", {"MaxResults": 1}),
}
"""For each root task, a read that its policy allows (the policy documents, version v1)."""

_DENIED: Final = ("AccessDenied", "AccessDeniedException")
_BY_ORGANIZATION: Final = re.compile(r"\b(?:service|resource) control policy\b")


def checks(visit: Visit) -> Iterator[Finding]:
    """Mint, ask who it is, read."""
    for case in sound(visit) if visit.probe else ():
        if not case.aimed:
            hint = f"name one: 'credhelper doctor {case.name}@ACCOUNT --probe'"
            yield note("probe", "not probed: it has no target of its own", hint, profile=case.name)
            continue
        for finding in _probe(case.call, visit):
            yield replace(finding, profile=case.name)


def _probe(call: StsCall, visit: Visit) -> Iterator[Finding]:
    provider = visit.provider(MINT_SECONDS)
    try:
        access_key = provider.get(call, mode="mint").access_key
        yield from _try(call, access_key, visit)
    except HumanNeededError as error:
        yield note("probe", f"not probed: {error.sentence}", *advice(error))
    except CredhelperError as error:
        yield trouble("probe", error)


def _try(call: StsCall, access_key: AccessKey, visit: Visit) -> Iterator[Finding]:
    from credhelper.aws.services import Services

    region = call.profile.get("region") or call.endpoint.region
    services = Services(replace(call.endpoint, region=region), call.source)
    who = services.ask(access_key, "sts", "GetCallerIdentity", visit.seconds(ASK_SECONDS))
    account = call.profile.account_id
    if account not in (None, who["Account"]):
        yield problem(
            "probe", f"the session is '{who['Arn']}', and not in account '{account}'", "do not use it"
        )
        return
    task = call.parameters["TaskPolicyArn"]["arn"] if call.profile.kind == ROOT else ""
    if short_task(task) not in READS:
        yield fine("probe", f"minted: '{who['Arn']}'")
        return
    service, operation, parameters = READS[short_task(task)]
    try:
        services.ask(access_key, service, operation, visit.seconds(ASK_SECONDS), **parameters)
    except CredhelperError as error:
        if error.code != "NoSuchEntity":  # root has no password: that is an answer
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
    return trouble("probe", error)
