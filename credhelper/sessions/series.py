"""A session that renews itself, as a series of mints: since when, and what a person has said about it.

It goes from a first mint, or from when somebody was last asked, until PAUSE after its last session has ended.
It is kept beside the locks, under the profile as it stands: an edited profile begins another series.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from credhelper import expiry
from credhelper.credentials import Clocks

if TYPE_CHECKING:
    from credhelper.cache.locks import Locks
    from credhelper.config.profiles import Profile

PAUSE: Final = 3600.0
"""Seconds without a live session after which a series is over; renew_for, if that is longer."""

_PARTS: Final = 5


@dataclass(frozen=True)
class ApprovalState:
    """What is known of it: when it `began`, and the seconds that its last session has had left when noted.

    `yes` is when somebody confirmed, `by` who was asked and how, `reason` what they said why.
    """

    began: Clocks
    rest: float = 0.0
    yes: Clocks | None = None
    reason: str | None = None
    by: str | None = None

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return expiry.since(self.began, expiry.read_clocks())

    def yes_left(self, profile: Profile) -> float:
        """Seconds for which the yes still lasts."""
        if self.yes is None:
            return 0.0
        passed = expiry.since(self.yes, expiry.read_clocks())
        return max(0.0, profile.confirm_for - passed) if passed >= 0 else 0.0


def under_way(locks: Locks, profile: Profile) -> ApprovalState | None:
    """The series that this profile's sessions are in, if they are in one."""
    noted = locks.noted(_name(profile), _PARTS)
    if noted is None:
        return None
    (began, rest, yes, reason, by), at = noted
    since = expiry.since(at, expiry.read_clocks())
    first = Clocks.from_list(began)
    if first is None or not isinstance(rest, (int, float)):
        return None
    if not 0 <= since <= rest + max(PAUSE, profile.renew_for or 0.0):
        return None
    return ApprovalState(first, rest, Clocks.from_list(yes), reason and str(reason), by and str(by))


def note(locks: Locks, profile: Profile, series: ApprovalState) -> bool:
    """Keep it, and say whether that was possible. What nobody will ask for is not kept."""
    if profile.renew_for is None and series.yes is None and series.reason is None:
        return True
    yes = None if series.yes is None else series.yes.to_list()
    content = [series.began.to_list(), series.rest, yes, series.reason, series.by]
    return locks.note(_name(profile), content)


def _name(profile: Profile) -> str:
    settings = {key: setting.value for key, setting in profile.settings.items()}
    document = json.dumps([profile.name, profile.kind, profile.target_account, settings], sort_keys=True)
    return "series-" + hashlib.sha256(document.encode()).hexdigest()[:32]
