"""A saved key replaced by one that AWS makes, so that at no moment the one that is saved does not work.

The new key waits beside the old one until AWS knows it, then takes its place; only then the old one goes.
What was begun is on record before the key is made. Killed between any two steps, the saved key works and the
next run goes on from there; a key that was made and never kept is known by when it was made.
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
"""AWS's limit, which cannot be raised (IAM quotas, 'Access keys assigned to an IAM user')."""

LOST_SECONDS: Final = 60
"""A key that was made for us and that we never got is at most so much younger than the record of it."""

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 4.0


@dataclass(frozen=True)
class _Job:
    """What every step needs. `session` signs for IAM where a policy demands MFA."""

    app: App
    name: str
    aws: Services
    seconds: float
    session: AccessKey | None

    @property
    def store(self) -> Store:
        return self.app.store

    def iam(self, signer: AccessKey, operation: str, **parameters: Any) -> dict[str, Any]:
        """One call to IAM, which takes the user from the key that signs it."""
        return self.aws.ask(self.session or signer, "iam", operation, identity.SECONDS, **parameters)

    def patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Ask again while AWS does not know the key that it has just made: it takes a while to get about."""
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
    """Replace a saved key, or finish what a run before this one began; returns what to tell the person.

    So many seconds are given to AWS to know the new key.
    """
    manage.find(app, name)
    with manage.alone(app, name), manage.keyring():
        saved, waiting = app.store.read_key(name), app.store.read_key(successor(name))
        current = saved or waiting
        if current is None:
            raise SourceError(f"the saved key '{name}' is not in the keyring any more")
        job = _job(app, name, current, region, mfa_serial, seconds)
        begun = next((each for each in app.store.index.rotations() if each.name == name), None)
        resumed, whose = begun is not None, None
        if begun is None or current.access_key_id == begun.replaces:
            begun, current, whose = _make(job, current, waiting, begun)
        _settle(job, current, saved, whose)
        _retire(job, current, begun.replaces)
        app.store.delete_key(successor(name))
        app.store.index.remove([begun])
    how = "finished the rotation of" if resumed else "rotated"
    return (
        f"{how} '{name}': {current.access_key_id} has taken the place of {begun.replaces}, which is deleted\n"
    )


def _job(
    app: App, name: str, current: AccessKey, region: str | None, mfa_serial: str | None, seconds: float
) -> _Job:
    aws = identity.services(app, name, current, region)
    session = None if mfa_serial is None else identity.mfa_session(app, name, region, mfa_serial)
    return _Job(app, name, aws, seconds, session)


def _make(
    job: _Job, old: AccessKey, waiting: AccessKey | None, begun: Rotation | None
) -> tuple[Rotation, AccessKey, Identity]:
    """A new key that works: the one that waits from a run before, or one that is made now."""
    if begun is not None and waiting is not None:
        whose = _take_up(job, old, waiting)
        if whose is not None:
            return begun, waiting, whose
    begun = _begin(job, old, begun)
    new = _create(job, old, begun)
    return begun, new, _prove(job, old, new)


def _take_up(job: _Job, old: AccessKey, waiting: AccessKey) -> Identity | None:
    """Whose the key is that waits; None where somebody has deactivated or deleted it in the meantime."""
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
    """Put on record that a key will be made, after deleting one that a run before this made and lost."""
    with _telling(job, f"nothing has changed: '{job.name}' is '{old.access_key_id}'"):
        answer = job.iam(old, "ListAccessKeys")
        others = [each for each in answer["AccessKeyMetadata"] if each["AccessKeyId"] != old.access_key_id]
        lost = [each for each in others if begun is not None and _is_lost(job, old, each, begun)]
        for each in lost:
            job.iam(old, "DeleteAccessKey", AccessKeyId=each["AccessKeyId"])
    index = job.store.index
    if len(others) - len(lost) >= KEYS_OF_A_USER - 1:
        if begun is not None:
            index.remove([begun])
        raise _no_room(others[0])
    begun = Rotation(job.name, old.access_key_id, int(transport.date(answer) or time.time()))
    if not index.add(begun):
        raise manage.unlisted(job.app)
    return begun


def _is_lost(job: _Job, old: AccessKey, each: Mapping[str, Any], begun: Rotation) -> bool:
    """Whether a key came of a CreateAccessKey of ours whose answer nobody kept.

    There was none beside the old one when that call was put on record, and a key whose secret nobody has
    cannot have been used.
    """
    if each["CreateDate"].timestamp() > begun.began + LOST_SECONDS:
        return False
    with contextlib.suppress(RefusedError):  # a permission that many do without
        used = job.iam(old, "GetAccessKeyLastUsed", AccessKeyId=each["AccessKeyId"])
        return used["AccessKeyLastUsed"].get("LastUsedDate") is None
    return True


def _no_room(other: Mapping[str, Any]) -> RefusedError:
    found = other["AccessKeyId"]
    return RefusedError(
        f"user '{other['UserName']}' has another access key, '{found}', and AWS allows no third one",
        f"see whether it is in use: aws iam get-access-key-last-used --access-key-id {found}",
        f"delete it where it is not: aws iam delete-access-key --access-key-id {found}",
        code="LimitExceeded",
    )


def _create(job: _Job, old: AccessKey, begun: Rotation) -> AccessKey:
    """Have AWS make a key, and let it wait in the keyring."""
    with _telling(
        job, f"'{job.name}' is still '{old.access_key_id}'; the same command tidies up and tries again"
    ):
        try:
            made = job.iam(old, "CreateAccessKey")["AccessKey"]
        except RefusedError as error:
            if error.code != "LimitExceeded":  # which may be the key that a broken connection has cost us
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
    """Wait until AWS knows the key. Raises UnreachableError, RefusedError."""
    try:
        return job.patiently(lambda: identity.ask(job.aws, new))
    except CredhelperError as error:
        kind = RefusedError if isinstance(error, RefusedError) else UnreachableError
        raise kind(
            f"the new key of '{job.name}' does not work yet: {error.sentence}",
            f"'{job.name}' is still '{old.access_key_id}', which works; the same command goes on from here",
        ) from None


def _settle(job: _Job, current: AccessKey, saved: AccessKey | None, whose: Identity | None) -> None:
    """Make it the key of that name, in the keyring and in the index."""
    listed = manage.in_index(job.app, job.name)
    if whose is None and listed is not None and listed.account and listed.arn:
        whose = identity.Identity(listed.account, listed.arn)  # the next key of a user is the same user's
    if saved != current or listed is None or listed.access_key_id != current.access_key_id:
        manage.put(job.app, job.name, current, whose)


def _retire(job: _Job, current: AccessKey, old: str) -> None:
    """Deactivate and delete the key that was replaced; one that is not there any more is fine."""
    with _telling(
        job, f"'{job.name}' is '{current.access_key_id}' and works; the same command deletes '{old}'"
    ):
        _unless_gone(job, current, "UpdateAccessKey", AccessKeyId=old, Status="Inactive")
        _unless_gone(job, current, "DeleteAccessKey", AccessKeyId=old)


def _unless_gone(job: _Job, signer: AccessKey, operation: str, **parameters: str) -> None:
    try:
        job.patiently(lambda: job.iam(signer, operation, **parameters))
    except RefusedError as error:
        if error.code != "NoSuchEntity":
            raise


@contextlib.contextmanager
def _telling(job: _Job, where: str) -> Iterator[None]:
    """Within the block, an error says where it leaves the person."""
    try:
        yield
    except CredhelperError as error:
        mfa = error.code in ("AccessDenied", "AccessDeniedException") and job.session is None
        hint = "where a policy demands MFA for this, add --mfa-serial ARN" if mfa else ""
        raise type(error)(error.sentence, where, hint, code=error.code) from None
