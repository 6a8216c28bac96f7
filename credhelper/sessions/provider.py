"""From a call to credentials: cached and fresh, or minted once by one of all who ask.

Every call of a chain goes the same way, outermost first: look, take the lock of its KEY, look again,
mint. A credential that is still good is never withheld because a new one cannot be had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from credhelper import expiry
from credhelper.agent.client import Lease, write_failure
from credhelper.credentials import AccessKey, Clocks, Credentials
from credhelper.errors import CancelledError, ConfigError, CredhelperError, HumanNeededError
from credhelper.sessions.minter import Minter

if TYPE_CHECKING:
    from collections.abc import Callable

    from credhelper.agent.client import CacheMode
    from credhelper.audit import Audit
    from credhelper.cache.locks import Locks
    from credhelper.cache.store import Store
    from credhelper.clocks import ExpiryThresholds
    from credhelper.deadline import Deadline
    from credhelper.log import Log
    from credhelper.sessions.calls import StsCall
    from credhelper.sessions.consent import Consent, Permission
    from credhelper.sessions.minter import Requester, StsApi

TIME_TO_MINT: Final = 12.0
"""Seconds of the deadline that a caller keeps for itself when it waits for another one's mint."""

TIME_TO_GIVE_UP: Final = 4.0
"""The same, where somebody is being asked: who has 40 s, and whose answer we would have to ask for anew."""

NESTED_PATIENCE: Final = 5.0
"""Seconds a credhelper that another one started waits for a lock.

Two loops of the same profiles, entered at different ends, hold each other's locks. Going on without the
lock, the inner processes find the loop and say so.
"""

ROUNDS: Final = 3
"""Times to ask the agent for a session that is younger than the one it gives."""

STALE_SOURCE: Final = ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId")


class Agent(Protocol):
    """Who remembers what others have minted."""

    @property
    def hit(self) -> Lease:
        """The lease that this command began with."""

    def ask(self, key: str, mode: CacheMode, patience: float) -> Credentials | CredhelperError | Lease:
        """What somebody else has minted, or their failure; otherwise the lease, to mint with."""


class SessionProvider:
    """Answers for calls. `aws` is loaded at the first mint: a cached answer does without."""

    def __init__(  # noqa: PLR0913 - one argument a part of the house, all by name
        self,
        *,
        aws: Callable[[], StsApi],
        store: Store,
        agent: Agent,
        locks: Locks,
        audit: Audit,
        log: Log,
        deadline: Deadline,
        requester: Callable[[], Requester],
        started: Clocks,
        consent: Consent,
        nested: bool = False,
    ) -> None:
        self._aws = aws
        self._store = store
        self._agent = agent
        self._locks = locks
        self._log = log
        self._deadline = deadline
        self._started = started
        self._consent = consent
        self._nested = nested
        self._minter = Minter(aws, audit, log, deadline, requester, consent, self._waiting)
        self._waiting_for_human: set[str] = set()
        self._leases: list[Lease] = []  # of this call and of those that rest on it

    def get(self, call: StsCall, *, mode: CacheMode = "get", cache: bool = True) -> Credentials:
        """Credentials for a call. Raises CredhelperError.

        To `mint` is to mint now, or to join a mint that began after we were asked; to `renew` is to mint
        where that is due ahead of need. Without `cache` nothing is read or stored for this call, only for
        those it rests on.
        """
        try:
            return self._answer(call, mode, cache=cache)
        except KeyboardInterrupt:  # a terminal interrupts all who wait for what one of them asks a person
            if self._awaits_person(call):
                raise CancelledError(f"cancelled: profile '{call.path[0][1]}' waits for an answer") from None
            raise

    def _answer(self, call: StsCall, mode: CacheMode, *, cache: bool) -> Credentials:
        if not cache or call.profile.cache is False:
            return self._mint(call)
        for _ in range(ROUNDS):
            answer = self._agent.ask(self._shared_key(call), mode, self._patience())
            if isinstance(answer, CredhelperError):
                return self._fall_back(call, self._look(call), answer)
            if isinstance(answer, Lease):
                return self._get(call, answer, mode)
            if mode != "mint" or self._is_ours(answer):
                self._log.debug(f"{call.profile.name}: the agent has it")
                return answer
        return self._get(call, Lease(), mode)

    @staticmethod
    def _shared_key(call: StsCall) -> str:
        """What the agent knows the call by: callers that accept different answers do not share one."""
        own = call.profile.get("min_remaining")
        return call.key if own is None else f"{call.key} {own}"

    def _get(self, call: StsCall, lease: Lease, mode: CacheMode) -> Credentials:
        """With the lease: from the keyring, or minted under the file lock that callers without one share."""
        self._leases.append(lease)
        try:
            credentials = self._look_or_mint(call, lease, mode)
        except CredhelperError as error:
            lease.fail(error, write_failure(error))
            raise
        except BaseException:
            lease.drop()
            raise
        finally:
            self._leases.remove(lease)
        self._share(call, credentials, lease)
        return credentials

    def _look_or_mint(self, call: StsCall, lease: Lease, mode: CacheMode) -> Credentials:
        shared = Credentials.from_json(lease.stale.decode())
        cached = _longer_lived(self._look(call), shared)
        if cached is not None and self._will_do(call, cached, mode):
            self._log.debug(f"{call.profile.name}: cached")
            return cached
        kept = self._is_stored(call) and self._store.can_keep()
        with self._locks.hold(call.key, self._patience_for(call)):
            if not self._is_over(self._locks.opened_up(call.key)):
                cached = _longer_lived(self._look(call), shared)
                if cached is not None and self._will_do(call, cached, mode):
                    return cached
                return self._mint_and_keep(call, cached, lease, kept=kept)
        # The one before us could not keep what it minted: the lock would only make others wait as well.
        try:
            return self._mint(call)
        except CredhelperError as error:
            return self._fall_back(call, cached, error)

    def _share(self, call: StsCall, credentials: Credentials, lease: Lease) -> None:
        """Give it to those who wait for the same call, and to the agent's memory."""
        body = credentials.to_json().encode("ascii")
        kept = lease.put(body, self.thresholds(call, credentials), call.key, call.profile.name)
        if kept is False:  # it was cleared while we were at it, and we may have put it into the keyring since
            self._store.forget([item for item in self._store.items() if item.key == call.key])

    def _is_over(self, moment: Clocks | None) -> bool:
        """Whether that was while we were waiting."""
        return moment is not None and expiry.since(self._started, moment) >= 0

    def _patience(self) -> float:
        """Seconds to wait for somebody else's mint; the agent says where they have to be more."""
        patience = max(0.0, self._deadline.left() - TIME_TO_MINT)
        return min(patience, NESTED_PATIENCE) if self._nested else patience

    def _patience_for(self, call: StsCall) -> float:
        """The same at a lock, which does not say whether whoever holds it is asking somebody."""
        if self._awaits_person(call):
            return max(0.0, self._deadline.left() - TIME_TO_GIVE_UP)
        return self._patience()

    def _awaits_person(self, call: StsCall) -> bool:
        """Whether this call, or one whose session it depends on, needs user interaction."""
        return any(self._consent.needs_person(hop) for hop in call.hops())

    def _mint_and_keep(
        self, call: StsCall, cached: Credentials | None, lease: Lease, *, kept: bool
    ) -> Credentials:
        failure = self._locks.last_failure(call.key)
        if failure is not None and self._is_over(failure.at):
            return self._fall_back(call, cached, failure.error)
        try:
            credentials = self._mint(call)
        except CredhelperError as error:
            if isinstance(error, HumanNeededError):
                self._waiting_for_human.add(call.key)
            if not isinstance(error, HumanNeededError) or isinstance(error, CancelledError):
                self._locks.remember(call.key, error)  # else the next one waiting may have a terminal
            # Somebody who gave up waiting for us may have had more luck.
            return self._fall_back(call, self._look(call) or cached, error)
        self._locks.forget(call.key)
        stored = kept and self._store.put(
            call.key, credentials, profile=call.profile.name, kind=call.profile.kind
        )
        self._share(call, credentials, lease)
        if stored:
            self._store.sweep()
        else:
            self._locks.open_up(call.key)
        return credentials

    def _look(self, call: StsCall) -> Credentials | None:
        return self._store.get(call.key) if self._is_stored(call) else None

    @staticmethod
    def _is_stored(call: StsCall) -> bool:
        """Whether the keyring may have it: `cache = "memory"` leaves it to the agent alone."""
        return call.profile.cache is True

    def _will_do(self, call: StsCall, cached: Credentials, mode: CacheMode) -> bool:
        """Whether what is cached answers the wish.

        Where an attempt to get a new one has failed just now, what is servable does.
        """
        if mode == "mint":
            return self._is_ours(cached)
        now, accepted = expiry.read_clocks(), self.min_remaining(call)
        if mode == "renew":
            return expiry.remaining(cached, now) >= expiry.refresh_ahead(cached, accepted)
        return expiry.is_fresh(cached, now, accepted) or (
            expiry.is_servable(cached, now) and self._has_just_failed(call, now)
        )

    def _has_just_failed(self, call: StsCall, now: Clocks) -> bool:
        failure = self._locks.last_failure(call.key)
        return failure is not None and 0 <= expiry.since(failure.at, now) < expiry.BACK_OFF

    def min_remaining(self, call: StsCall) -> float | None:
        """What the profile asks for. A person is not disturbed as long as anything serves."""
        own = call.profile.get("min_remaining")
        return expiry.SERVABLE if own is None and self._consent.needs_person(call) else own

    def thresholds(self, call: StsCall, credentials: Credentials) -> ExpiryThresholds:
        """Until when, and from when on, the agent does what with these credentials."""
        now = expiry.read_clocks()
        return expiry.thresholds(
            credentials,
            now,
            self.min_remaining(call),
            ahead=not self._consent.needs_person(call) and call.key not in self._waiting_for_human,
            failed=self._has_just_failed(call, now) or call.key in self._waiting_for_human,
        )

    def _is_ours(self, cached: Credentials) -> bool:
        """Minted after we were asked, so that a refresh joins a mint that was under way."""
        return expiry.since(self._started, cached.minted) >= 0

    def _fall_back(self, call: StsCall, cached: Credentials | None, error: CredhelperError) -> Credentials:
        """The older credential where it still serves; otherwise the error."""
        servable = cached is not None and expiry.is_servable(cached, expiry.read_clocks())
        if cached is None or not servable or isinstance(error, ConfigError):
            raise error
        self._log.warning(f"{call.profile.name}: served from the cache because {error.sentence}")
        return cached

    def mint(self, call: StsCall, access_key: AccessKey, permission: Permission) -> Credentials:
        """A session for one caller, made with these keys; neither read nor stored. Raises CredhelperError."""
        return self._minter.once(call, access_key, permission)

    def _mint(self, call: StsCall) -> Credentials:
        permission = self.permit(call)
        access_key = self.source_key(call)
        try:
            return self._minter.once(call, access_key, permission)
        except CredhelperError as error:
            newer = self._newer_key(call, access_key) if error.code in STALE_SOURCE else None
            if newer is None:
                raise
        return self._minter.once(call, newer, permission)

    def _newer_key(self, call: StsCall, access_key: AccessKey) -> AccessKey | None:
        """What signs a call where AWS does not take the keys any more; None where there is nothing else.

        The session that it rests on was cached, whatever its expiration says, or the saved key was rotated
        after it had been read.
        """
        if call.parent is not None:
            return self.get(call.parent, mode="mint").access_key
        saved = self._store.saved_key(call.source.name) if call.source.place == "saved key" else None
        return saved if saved != access_key else None

    def permit(self, call: StsCall) -> Permission:
        """See that a person has said everything that a mint needs. Raises HumanNeededError."""
        return self._minter.permit(call)

    def _waiting(self) -> int:
        """How many others wait for what a person is asked now; they are told to be patient."""
        return sum(each.asking() for each in (*self._leases, self._agent.hit))

    def source_key(self, call: StsCall) -> AccessKey:
        """The keys that sign a call; a session that it rests on comes from the cache or is minted."""
        self._log.debug(f"{call.profile.name}: the source is {call.signer}")
        if call.parent is not None:
            return self.get(call.parent).access_key
        saved = self._store.saved_key(call.source.name) if call.source.place == "saved key" else None
        return saved or self._aws().source_key(call.source, call.path, self._deadline)


def _longer_lived(*found: Credentials | None) -> Credentials | None:
    return max(filter(None, found), key=lambda credentials: credentials.expiration, default=None)
