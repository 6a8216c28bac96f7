"""How long credentials are valid, and until when a cached session is handed out.

The thresholds follow botocore, which asks its credential process again when fewer than 900 s remain and,
below 600 s, before every request and one at a time.
"""

from __future__ import annotations

import sys
import time
from typing import Final

from credhelper.clocks import ExpiryThresholds, boot_seconds
from credhelper.credentials import Clocks, Credentials

SERVABLE: Final = 60.0
"""Below this many seconds a session is not handed out, whatever else fails."""

LONG_LIFE: Final = 1800.0
LONG_FLOOR: Final = 960.0  # botocore's advisory 900 s, and a minute
MEDIUM_LIFE: Final = 700.0
MEDIUM_FLOOR: Final = 630.0  # botocore's mandatory 600 s, and half a minute

REFRESH_AHEAD_SHARE: Final = 15.0
REFRESH_AHEAD_LIMIT: Final = 300.0

BACK_OFF: Final = 30.0
"""Seconds between a failed mint and the next attempt, while an older session is servable."""

SKEW_WORTH_SAYING: Final = 300.0
"""Seconds between this machine's clock and STS's beyond which AWS refuses signatures."""


def read_clocks() -> Clocks:
    """This machine's clocks now."""
    # macOS has no boot id: there the wall clock alone tells a reboot.
    return Clocks(time.time(), boot_seconds(), _boot_id() if sys.platform == "linux" else "")


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def remaining(credentials: Credentials, now: Clocks) -> float:
    """Seconds until the credentials expire: the lesser of two clocks.

    These are the wall clock, corrected by the skew at the mint, and the time since boot. So a wall clock set
    back does not make an expired session valid. After a reboot there is only the wall clock.
    """
    by_wall = credentials.expiration - (now.wall + credentials.skew)
    elapsed = elapsed_since(credentials.minted, now)
    return by_wall if elapsed is None else min(by_wall, credentials.life - elapsed)


def elapsed_since(then: Clocks, now: Clocks) -> float | None:
    """Seconds between two readings of the clock that cannot be set; None across a reboot."""
    if then.boot is None or now.boot is None or then.boot_id != now.boot_id or now.boot < then.boot:
        return None
    return now.boot - then.boot


def since(then: Clocks, now: Clocks) -> float:
    """Seconds between two readings of the best clock that both have."""
    elapsed = elapsed_since(then, now)
    return now.wall - then.wall if elapsed is None else elapsed


def floor(life: float, min_remaining: float | None = None) -> float:
    """Seconds that must remain of a cached session of this life for it to be handed out."""
    if min_remaining is not None:
        return min(min_remaining, life / 2)
    if life >= LONG_LIFE:
        return LONG_FLOOR
    return MEDIUM_FLOOR if life >= MEDIUM_LIFE else life / 2


def is_fresh(credentials: Credentials, now: Clocks, min_remaining: float | None = None) -> bool:
    """Whether it is handed out without a mint."""
    return remaining(credentials, now) >= floor(credentials.life, min_remaining)


def is_servable(credentials: Credentials, now: Clocks) -> bool:
    """Whether it is handed out where a mint fails."""
    return remaining(credentials, now) >= SERVABLE


def refresh_ahead(credentials: Credentials, min_remaining: float | None = None) -> float:
    """The seconds remaining at which a refresh ahead of need begins."""
    ahead = min(credentials.life / REFRESH_AHEAD_SHARE, REFRESH_AHEAD_LIMIT)
    return floor(credentials.life, min_remaining) + ahead


def thresholds(
    credentials: Credentials, now: Clocks, min_remaining: float | None, *, ahead: bool, failed: bool
) -> ExpiryThresholds:
    """The thresholds that the agent compares its clocks with.

    `ahead` allows a refresh ahead of need. After a mint has `failed`, what is servable is handed out at once,
    and the next attempt comes when BACK_OFF is over.
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


def spell_skew(seconds: float) -> str:
    """A clock's error, as the end of 'it is ...': AWS's clock is `seconds` ahead of this machine's."""
    size = abs(seconds)
    amount = f"{size / 60:.0f} min" if size >= 120 else f"{size:.0f} s"
    return f"{amount} behind" if seconds > 0 else f"{amount} ahead of"
