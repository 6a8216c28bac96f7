"""One mint: what a person has to say first, the STS call, an MFA code that is sent once, and the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from credhelper import expiry
from credhelper.audit import Line
from credhelper.config.aws_names import short_task
from credhelper.credentials import utc
from credhelper.errors import CancelledError, CodeRejectedError, CredhelperError, NobodyError
from credhelper.sessions.consent import Permission

if TYPE_CHECKING:
    from collections.abc import Callable

    from credhelper.audit import Audit
    from credhelper.credentials import AccessKey, Credentials, Minted
    from credhelper.deadline import Deadline
    from credhelper.log import Log
    from credhelper.sessions.calls import Node, StsCall
    from credhelper.sessions.consent import Consent
    from credhelper.sessions.sources import CredentialSource


class StsApi(Protocol):
    """What asks AWS."""

    def source_key(self, origin: CredentialSource, path: tuple[Node, ...], deadline: Deadline) -> AccessKey:
        """The credentials that a chain begins with."""

    def mint(self, call: StsCall, access_key: AccessKey, code: str | None, deadline: Deadline) -> Minted:
        """Make one STS call."""


@dataclass(frozen=True)
class Requester:
    """Who wants to know: the program that made an SDK run us, and its process id."""

    program: str
    pid: int


class Minter:
    """Makes calls and puts them on record. `waiting` tells how many others wait while a person is asked."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of the house that a mint needs, once
        self,
        aws: Callable[[], StsApi],
        audit: Audit,
        log: Log,
        deadline: Deadline,
        requester: Callable[[], Requester],
        consent: Consent,
        waiting: Callable[[], int],
    ) -> None:
        self._aws = aws
        self._audit = audit
        self._log = log
        self._deadline = deadline
        self._requester = requester
        self._consent = consent
        self._waiting = waiting
        self._codes: set[str] = set()

    def permit(self, call: StsCall) -> Permission:
        """See that a person has said everything that a mint needs. Raises HumanNeededError."""
        try:
            return self._consent.permit(call, self._waiting)
        except CancelledError as error:
            self._record(call, None, "declined", Permission(), sentence=error.sentence)
            raise

    def once(self, call: StsCall, access_key: AccessKey, permission: Permission) -> Credentials:
        """Make the call, with an MFA code where it needs one: if AWS rejects one, with another.

        Raises CredhelperError; nothing is minted where the record is required and cannot be written.
        """
        self._audit.prepare()
        if not call.needs_code:
            return self._send(call, access_key, None, permission)
        try:
            return self._send(call, access_key, self._code(call), permission)
        except CodeRejectedError as error:
            code = self._code(call, rejected=error)
        return self._send(call, access_key, code, permission)

    def _code(self, call: StsCall, rejected: CodeRejectedError | None = None) -> str:
        """A code that was not sent yet: each works only once. Raises HumanNeededError, or the rejection."""
        try:
            code = self._consent.code(call, self._waiting, rejected=rejected is not None)
        except NobodyError:
            if rejected is not None:
                raise rejected from None
            raise
        except CancelledError as error:
            self._record(call, None, "declined", Permission(), sentence=error.sentence)
            raise
        if code in self._codes:
            raise rejected or CancelledError("the MFA code has been sent already: each works only once")
        self._codes.add(code)
        return code

    def _send(
        self, call: StsCall, access_key: AccessKey, code: str | None, permission: Permission
    ) -> Credentials:
        name = call.profile.name
        sent = f"{call.api}{_on(call)} in {call.endpoint.region}, signed with {access_key.access_key_id}"
        self._log.debug(f"{name}: {sent}{' and an MFA code' if code else ''}")
        try:
            minted = self._aws().mint(call, access_key, code, self._deadline)
        except CredhelperError as error:
            self._log.debug(f"{name}: {error.code or 'failed'}: {error.sentence}")
            outcome = "refused" if error.code else "failed"
            self._record(call, access_key, outcome, permission, error=error.code, sentence=error.sentence)
            raise
        credentials = minted.credentials
        ends = utc(credentials.expiration)
        self._log.debug(f"{name}: {minted.host} answered request {minted.request_id}, valid until {ends}")
        self._record(
            call,
            access_key,
            "minted",
            permission,
            access_key_id=credentials.access_key_id,
            request_id=minted.request_id,
            expires=ends,
            source_identity=credentials.source_identity,
        )
        self._consent.minted(call, credentials)
        self._warn_of_skew(credentials)
        return credentials

    def _record(
        self, call: StsCall, access_key: AccessKey | None, outcome: str, permission: Permission, **more: Any
    ) -> None:
        requester = self._requester()
        task = call.parameters.get("TaskPolicyArn", {}).get("arn")
        self._audit.write(
            Line(
                outcome=outcome,
                profile=call.profile.name,
                api=call.api,
                key=call.key,
                account=call.profile.account_id,
                account_name=call.profile.account_name,
                target=_target(call),
                task_policy=short_task(task) if task else None,
                region=call.endpoint.region,
                certificate=None if call.endpoint.verified else "not verified",
                source_arn=None if access_key is None else access_key.source_arn,
                reason=permission.reason,
                confirmed_by=permission.confirmed_by,
                program=requester.program or None,
                program_pid=requester.pid,
                **more,
            )
        )

    def _warn_of_skew(self, credentials: Credentials) -> None:
        if abs(credentials.skew) > expiry.SKEW_WORTH_SAYING:
            direction = "behind" if credentials.skew > 0 else "ahead of"
            self._log.warning(f"this machine's clock is {abs(credentials.skew):.0f} s {direction} AWS's")


def _target(call: StsCall) -> str | None:
    """The role, or the account; a session for MFA has none."""
    target: str | None = call.parameters.get("RoleArn") or call.parameters.get("TargetPrincipal")
    return target


def _on(call: StsCall) -> str:
    target = _target(call)
    return f" on {target}" if target else ""
