"""One mint: the approvals, the STS call, an MFA code that is sent only once, and the audit log."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from credhelper import expiry
from credhelper.audit import Line
from credhelper.config.aws_names import short_task
from credhelper.credentials import utc
from credhelper.errors import CancelledError, CodeRejectedError, CredhelperError, NoPromptError
from credhelper.sessions.consent import Permission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from credhelper.audit import Audit
    from credhelper.credentials import AccessKey, Credentials, Minted
    from credhelper.deadline import Deadline
    from credhelper.sessions.caller import CallerContext, Node
    from credhelper.sessions.calls import StsCall
    from credhelper.sessions.consent import Consent
    from credhelper.sessions.sources import CredentialSource


class StsApi(Protocol):
    """Sends requests to AWS."""

    def source_key(self, origin: CredentialSource, path: tuple[Node, ...], deadline: Deadline) -> AccessKey:
        """The credentials that a chain begins with."""

    def mint(self, call: StsCall, access_key: AccessKey, code: str | None, deadline: Deadline) -> Minted:
        """Make one STS call."""


class Minter:
    """Makes calls and records them. `sts` loads botocore, which only a mint needs."""

    def __init__(
        self, sts: Callable[[], StsApi], consent: Consent, audit: Audit, caller: CallerContext
    ) -> None:
        self.consent = consent
        self._sts = sts
        self._audit = audit
        self._caller = caller
        self._log = caller.log
        self._codes: set[str] = set()

    def permit(self, call: StsCall) -> Permission:
        """Get every approval that a mint needs. Raises InteractionError."""
        with self._recording_refusal(call):
            return self.consent.permit(call)

    def source_key(self, call: StsCall) -> AccessKey:
        """The credentials of the call's source. Raises SourceError, OutOfTimeError."""
        deadline = self._caller.deadline
        deadline.check(f"profile '{call.profile.name}' needs credentials from {call.source}")
        with deadline.spend(str(call.source)):
            return self._sts().source_key(call.source, call.path, deadline)

    def mint(self, call: StsCall, access_key: AccessKey, permission: Permission) -> Credentials:
        """Make the call; if AWS rejects its MFA code, once more with another code.

        Raises CredhelperError; where the audit log is required and cannot be written, nothing is minted.
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
        """A code that has not been sent yet: each works once. Raises InteractionError, or the rejection."""
        try:
            with self._recording_refusal(call):
                code = self.consent.code(call, rejected=rejected is not None)
        except NoPromptError:
            if rejected is not None:
                raise rejected from None
            raise
        if code in self._codes:
            raise rejected or CancelledError("the MFA code has been sent already: each works only once")
        self._codes.add(code)
        return code

    @contextlib.contextmanager
    def _recording_refusal(self, call: StsCall) -> Iterator[None]:
        try:
            yield
        except CancelledError as error:
            self._record(call, None, "declined", Permission(), sentence=error.sentence)
            raise

    def _send(
        self, call: StsCall, access_key: AccessKey, code: str | None, permission: Permission
    ) -> Credentials:
        name, deadline, log = call.profile.name, self._caller.deadline, self._log
        deadline.check(f"profile '{name}' needs a new session")
        sent = f"{call.api}{_on(call)} in {call.endpoint.region}, signed with {access_key.access_key_id}"
        log.debug(f"{name}: {sent}{' and an MFA code' if code else ''}")
        try:
            with deadline.spend("STS"):
                minted = self._sts().mint(call, access_key, code, deadline)
        except CredhelperError as error:
            log.debug(f"{name}: {error.code or 'failed'}: {error.sentence}")
            outcome = "refused" if error.code else "failed"
            self._record(call, access_key, outcome, permission, error=error.code, sentence=error.sentence)
            raise
        credentials = minted.credentials
        ends = utc(credentials.expiration)
        log.debug(f"{name}: {minted.host} answered request {minted.request_id}, valid until {ends}")
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
        self.consent.minted(call, credentials)
        if abs(credentials.skew) > expiry.SKEW_WORTH_SAYING:
            direction = "behind" if credentials.skew > 0 else "ahead of"
            log.warning(f"this machine's clock is {abs(credentials.skew):.0f} s {direction} AWS's")
        return credentials

    def _record(
        self, call: StsCall, access_key: AccessKey | None, outcome: str, permission: Permission, **more: Any
    ) -> None:
        requester = self._caller.requester
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


def _target(call: StsCall) -> str | None:
    """The role, or the account; GetSessionToken has no target."""
    target: str | None = call.parameters.get("RoleArn") or call.parameters.get("TargetPrincipal")
    return target


def _on(call: StsCall) -> str:
    target = _target(call)
    return f" on {target}" if target else ""
