"""Where clock meets expiry: how long a credential has, and whether it is still good to hand out.

The thresholds answer to how SDKs behave. botocore asks its credential process again when fewer than
900 s remain and, below 600 s, before every request and in series; so a cached credential is handed out
only while it keeps an SDK quiet.
"""

from __future__ import annotations

import sys
import time
from typing import Final

from credhelper.clocks import ExpiryThresholds, boot_seconds
from credhelper.credentials import Clocks, Credentials

SERVABLE: Final = 60.0
"""Below this many seconds a credential is not handed out, whatever else fails."""

LONG_LIFE: Final = 1800.0
LONG_FLOOR: Final = 960.0  # botocore's advisory 900 s, and a minute for the way there
MEDIUM_LIFE: Final = 700.0
MEDIUM_FLOOR: Final = 630.0  # botocore's mandatory 600 s, and half a minute

REFRESH_AHEAD_SHARE: Final = 15.0
REFRESH_AHEAD_LIMIT: Final = 300.0

BACK_OFF: Final = 30.0
"""Seconds for which nobody tries again after a failure, while an older credential still serves."""

SKEW_WORTH_SAYING: Final = 300.0
"""Seconds between our clock and STS's beyond which signatures start to be refused."""


def read_clocks() -> Clocks:
    """This machine's clocks now."""
    # macOS has no boot id: there the wall clock alone says that another boot is another one.
    return Clocks(time.time(), boot_seconds(), _boot_id() if sys.platform == "linux" else "")


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def remaining(credentials: Credentials, now: Clocks) -> float:
    """Seconds until the credential expires: the lesser of what two clocks say.

    The wall clock, corrected by the skew seen at the mint, and the time elapsed since boot. So a wall
    clock set back does not serve an expired credential. After a reboot there is only the wall clock.
    """
    by_wall = credentials.expiration - (now.wall + credentials.skew)
    elapsed = elapsed_since(credentials.minted, now)
    return by_wall if elapsed is None else min(by_wall, credentials.life - elapsed)


def elapsed_since(then: Clocks, now: Clocks) -> float | None:
    """Seconds between two readings, by the clock that cannot be set; None across a reboot."""
    if then.boot is None or now.boot is None or then.boot_id != now.boot_id or now.boot < then.boot:
        return None
    return now.boot - then.boot


def since(then: Clocks, now: Clocks) -> float:
    """Seconds between two readings, by the best clock that both have."""
    elapsed = elapsed_since(then, now)
    return now.wall - then.wall if elapsed is None else elapsed


def floor(life: float, min_remaining: float | None = None) -> float:
    """Seconds that must remain for a cached credential of this life to be handed out."""
    if min_remaining is not None:
        return min(min_remaining, life / 2)
    if life >= LONG_LIFE:
        return LONG_FLOOR
    return MEDIUM_FLOOR if life >= MEDIUM_LIFE else life / 2


def is_fresh(credentials: Credentials, now: Clocks, min_remaining: float | None = None) -> bool:
    """Good to hand out without asking STS."""
    left = remaining(credentials, now)
    return left >= floor(credentials.life, min_remaining)


def is_servable(credentials: Credentials, now: Clocks) -> bool:
    """Good to hand out where STS cannot be asked."""
    return remaining(credentials, now) >= SERVABLE


def refresh_ahead(credentials: Credentials, min_remaining: float | None = None) -> float:
    """Seconds remaining at which a refresh ahead of need begins."""
    ahead = min(credentials.life / REFRESH_AHEAD_SHARE, REFRESH_AHEAD_LIMIT)
    return floor(credentials.life, min_remaining) + ahead


def thresholds(
    credentials: Credentials, now: Clocks, min_remaining: float | None, *, ahead: bool, failed: bool
) -> ExpiryThresholds:
    """The moments that the agent compares its clocks with.

    `ahead` is whether a mint can begin ahead of need; where one has `failed` just now, what still serves is
    handed out without waiting, and the next attempt comes when BACK_OFF is over.
    """
    elapsed = elapsed_since(credentials.minted, now)
    boot_ends = None if elapsed is None or now.boot is None else now.boot + credentials.life - elapsed
    fresh = floor(credentials.life, min_remaining)
    servable = min(SERVABLE, fresh)
    refresh = refresh_ahead(credentials, min_remaining)
    if failed:
        fresh, refresh = servable, max(servable, remaining(credentials, now) - BACK_OFF)
    return ExpiryThresholds(
        credentials.expiration - credentials.skew,
        boot_ends,
        refresh if ahead else float("-inf"),
        fresh,
        servable,
    )
