"""boto3 sessions whose credentials renew themselves.

botocore asks for new credentials when fewer than 900 s are left, and below 600 s before every request: it
would renew a root session, which has 900 s at most, all the time. So thresholds and clock are those of
`expiry.py`.
"""

from __future__ import annotations

import os
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

import boto3
import botocore.credentials
import botocore.session

from credhelper import expiry
from credhelper.credentials import utc

if TYPE_CHECKING:
    from collections.abc import Callable

    from credhelper.agent.client import CacheMode
    from credhelper.clocks import ExpiryThresholds
    from credhelper.credentials import Credentials

    Supply = Callable[[CacheMode], tuple[Credentials, ExpiryThresholds]]

METHOD: Final = "credhelper"


class _Credentials(botocore.credentials.DeferredRefreshableCredentials):
    """botocore's refreshable credentials, with the thresholds of the current session.

    Below the advisory one, one thread renews while the others continue; below the mandatory one, all wait.
    """

    def __init__(self, supply: Supply) -> None:
        super().__init__(self._renew, METHOD, time_fetcher=self._now)
        self._supply = supply
        self._held: tuple[Credentials, ExpiryThresholds] | None = None
        _alive.add(self)

    def unlock(self) -> None:
        """Replace the lock in the child of a fork, where a lock held by a thread of the parent stays held."""
        self._refresh_lock = threading.Lock()

    def _renew(self) -> dict[str, str | None]:
        credentials, thresholds = self._supply("renew" if self._is_fresh() else "get")
        self._held = credentials, thresholds
        ahead = thresholds.refresh if thresholds.refresh > 0 else thresholds.fresh
        # After a failed mint this is the same session again: do not try at every request.
        later = max(thresholds.servable, _left(credentials) - expiry.BACK_OFF)
        self._advisory_refresh_timeout = int(min(ahead, later))
        self._mandatory_refresh_timeout = int(thresholds.servable)
        return {
            "access_key": credentials.access_key_id,
            "secret_key": credentials.secret_access_key,
            "token": credentials.session_token,
            "expiry_time": utc(credentials.expiration),
            "account_id": credentials.account_id,
        }

    def _is_fresh(self) -> bool:
        """Whether the current session is still fresh, so that the renewal may fail without harm."""
        return self._held is not None and _left(self._held[0]) >= self._held[1].fresh

    def _now(self) -> datetime:
        """The time on STS's clock."""
        if self._held is None:
            return datetime.now(timezone.utc)
        credentials = self._held[0]
        return datetime.fromtimestamp(credentials.expiration - _left(credentials), timezone.utc)


def _left(credentials: Credentials) -> float:
    return expiry.remaining(credentials, expiry.read_clocks())


_alive: WeakSet[_Credentials] = WeakSet()


def _unlock_all() -> None:
    for credentials in _alive:
        credentials.unlock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_all)


class _Provider(botocore.credentials.CredentialProvider):
    METHOD = METHOD

    def __init__(self, credentials: _Credentials) -> None:
        super().__init__()
        self._credentials = credentials

    def load(self) -> _Credentials:
        return self._credentials


def open_session(supply: Supply, region: str | None) -> boto3.Session:
    """A session that gets its credentials from `supply`, at the first request."""
    # AWS_PROFILE has no effect: it may name the profile that runs credhelper in other programs.
    core = botocore.session.Session({"profile": (None, None, None, None)})
    provider = botocore.credentials.CredentialResolver([_Provider(_Credentials(supply))])
    core.register_component("credential_provider", provider)
    return boto3.Session(botocore_session=core, region_name=region)
