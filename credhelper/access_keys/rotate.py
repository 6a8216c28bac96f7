"""Replace a saved key by one that AWS makes; the saved key works at every moment.

The new key is saved under its successor's name until AWS accepts it, then replaces the old one, which is
deleted last. The index has a Rotation before the key is made. Killed between two steps, the next run
continues; a key that was made and not saved is recognised by its creation date.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from credhelper.access_keys import identity, manage
from credhelper.aws import transport
from credhelper.cache.index import Rotation
from credhelper.cache.store import Store, successor
from credhelper.credentials import AccessKey
from credhelper.deadline import Deadline
from credhelper.errors import CredhelperError, RefusedError, SourceError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from credhelper.access_keys.identity import Identity
    from credhelper.app import App
    from credhelper.aws.services import Services

Answer = TypeVar("Answer")

KEYS_OF_A_USER: Final = 2
"""A fixed limit of AWS (IAM quotas, 'Access keys assigned to an IAM user')."""

LOST_SECONDS: Final = 60
"""A key whose answer got lost is at most this much younger than its Rotation."""

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 4.0


@dataclass(frozen=True)
class _Job:
    """The context of all steps. `session` signs for IAM where a policy demands MFA."""

    app: App
    name: str
    aws: Services
    seconds: float
    session: AccessKey | None

    @property
    def store(self) -> Store:
        return self.app.store

    def iam(self, signer: AccessKey, operation: str, **parameters: Any) -> dict[str, Any]:
        """One call to IAM, for the user whose key signs it."""
        return self.aws.ask(self.session or signer, "iam", operation, identity.SECONDS, **parameters)

    def retry(self, ask: Callable[[], Answer]) -> Answer:
        """Ask again while AWS does not know a new key everywhere yet."""
        deadline, pause = Deadline(self.seconds), FIRST_PAUSE
        while True:
            try:
                return ask()
            except (SourceError, UnreachableError):
                if deadline.left() <= pause:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def rotate(app: App, name: str, *, region: str | None, mfa_serial: str | None, seconds: float) -> str:
    """Replace a saved key, or finish an unfinished rotation; returns the text to print.

    AWS has `seconds` to accept the new key.
    """
    manage.find(app, name)
    with manage.alone(app, name), manage.keyring():
        saved, waiting = app.store.read_key(name), app.store.read_key(successor(name))
        current = saved or waiting
        if current is None:
            raise SourceError(f"the saved key '{name}' is not in the keyring any more")
        session = None if mfa_serial is None else identity.mfa_session(app, name, region, mfa_serial)
        job = _Job(app, name, identity.services(app, name, current, region), seconds, session)
        begun = manage.rotation_of(app, name)
        done, owner = "finished the rotation of" if begun else "rotated", None
        if begun is None or current.access_key_id == begun.replaces:
            begun, current, owner = _make(job, current, waiting, begun)
        _settle(job, current, saved, owner)
        _retire(job, current, begun.replaces)
        app.store.delete_key(successor(name))
        app.store.index.remove([begun])
    return f"{done} '{name}': {current.access_key_id} has replaced {begun.replaces}, which is deleted\n"


def _make(
    job: _Job, old: AccessKey, waiting: AccessKey | None, begun: Rotation | None
) -> tuple[Rotation, AccessKey, Identity]:
    """A new key that works: the one that an earlier run has made, or one that is made now."""
    if begun is not None and waiting is not None:
        owner = _resume(job, old, waiting)
        if owner is not None:
            return begun, waiting, owner
    begun = _begin(job, old, begun)
    new = _create(job, old, begun)
    return begun, new, _prove(job, old, new)


def _resume(job: _Job, old: AccessKey, waiting: AccessKey) -> Identity | None:
    """The owner of the waiting key; None if it has been deactivated or deleted meanwhile."""
    try:
        return _prove(job, old, waiting)
    except UnreachableError:
        listed = job.iam(old, "ListAccessKeys")["AccessKeyMetadata"]
        if (waiting.access_key_id, "Active") in [(each["AccessKeyId"], each["Status"]) for each in listed]:
            raise
    _unless_gone(job, old, "DeleteAccessKey", AccessKeyId=waiting.access_key_id)
    job.store.delete_key(successor(job.name))
    return None


def _begin(job: _Job, old: AccessKey, begun: Rotation | None) -> Rotation:
    """Add a Rotation to the index, after deleting a key that an earlier run has made and lost."""
    with _with_hint(job, f"nothing has changed: '{job.name}' is '{old.access_key_id}'"):
        answer = job.iam(old, "ListAccessKeys")
        others = [each for each in answer["AccessKeyMetadata"] if each["AccessKeyId"] != old.access_key_id]
        lost = [each for each in others if begun is not None and _is_lost(job, old, each, begun)]
        for each in lost:
            job.iam(old, "DeleteAccessKey", AccessKeyId=each["AccessKeyId"])
    index = job.store.index
    if len(others) - len(lost) >= KEYS_OF_A_USER - 1:
        if begun is not None:
            index.remove([begun])
        raise _limit(others[0])
    begun = Rotation(job.name, old.access_key_id, int(transport.date(answer) or time.time()))
    if not index.add(begun):
        raise manage.unlisted(job.app)
    return begun


def _is_lost(job: _Job, old: AccessKey, each: Mapping[str, Any], begun: Rotation) -> bool:
    """Whether an earlier CreateAccessKey made this key and its answer got lost.

    The user had no second key when that call was recorded, and a key without a known secret is never used.
    """
    if each["CreateDate"].timestamp() > begun.began + LOST_SECONDS:
        return False
    with contextlib.suppress(RefusedError):  # many users lack this permission
        used = job.iam(old, "GetAccessKeyLastUsed", AccessKeyId=each["AccessKeyId"])
        return used["AccessKeyLastUsed"].get("LastUsedDate") is None
    return True


def _limit(other: Mapping[str, Any]) -> RefusedError:
    found = other["AccessKeyId"]
    return RefusedError(
        f"user '{other['UserName']}' has another access key, '{found}', and AWS allows no third one",
        f"see whether it is in use: aws iam get-access-key-last-used --access-key-id {found}",
        f"if not, delete it: aws iam delete-access-key --access-key-id {found}",
        code="LimitExceeded",
    )


def _create(job: _Job, old: AccessKey, begun: Rotation) -> AccessKey:
    """Let AWS make a key, and save it as the successor."""
    with _with_hint(job, f"'{job.name}' is still '{old.access_key_id}'; run the same command again"):
        try:
            made = job.iam(old, "CreateAccessKey")["AccessKey"]
        except RefusedError as error:
            if error.code != "LimitExceeded":  # LimitExceeded: it may have made the key
                job.store.index.remove([begun])
            raise
    new = AccessKey(made["AccessKeyId"], made["SecretAccessKey"])
    try:
        job.store.save_key(successor(job.name), new)
    except BaseException:
        with contextlib.suppress(CredhelperError):
            job.iam(old, "DeleteAccessKey", AccessKeyId=new.access_key_id)
        raise
    return new


def _prove(job: _Job, old: AccessKey, new: AccessKey) -> Identity:
    """Wait until AWS accepts the key. Raises UnreachableError, RefusedError."""
    try:
        return job.retry(lambda: identity.ask(job.aws, new))
    except CredhelperError as error:
        kind = RefusedError if isinstance(error, RefusedError) else UnreachableError
        raise kind(
            f"the new key of '{job.name}' does not work yet: {error.sentence}",
            f"'{job.name}' is still '{old.access_key_id}', which works; run the same command again",
        ) from None


def _settle(job: _Job, current: AccessKey, saved: AccessKey | None, owner: Identity | None) -> None:
    """Save the new key under the name, in the keyring and in the index."""
    listed = manage.in_index(job.app, job.name)
    if owner is None and listed is not None and listed.account and listed.arn:
        owner = identity.Identity(listed.account, listed.arn)  # a new key has the same owner
    if saved != current or listed is None or listed.access_key_id != current.access_key_id:
        manage.put(job.app, job.name, current, owner)


def _retire(job: _Job, current: AccessKey, old: str) -> None:
    """Deactivate and delete the replaced key, if it still exists."""
    with _with_hint(
        job,
        f"'{job.name}' is '{current.access_key_id}' and works; the same command deletes '{old}'",
    ):
        _unless_gone(job, current, "UpdateAccessKey", AccessKeyId=old, Status="Inactive")
        _unless_gone(job, current, "DeleteAccessKey", AccessKeyId=old)


def _unless_gone(job: _Job, signer: AccessKey, operation: str, **parameters: str) -> None:
    try:
        job.retry(lambda: job.iam(signer, operation, **parameters))
    except RefusedError as error:
        if error.code != "NoSuchEntity":
            raise


@contextlib.contextmanager
def _with_hint(job: _Job, state: str) -> Iterator[None]:
    """Within the block, an error says which key is saved now."""
    try:
        yield
    except CredhelperError as error:
        mfa = error.code in ("AccessDenied", "AccessDeniedException") and job.session is None
        hint = "where a policy demands MFA for this, add --mfa-serial ARN" if mfa else ""
        raise type(error)(error.sentence, state, hint, code=error.code) from None
