"""Clock readings, and the thresholds that the agent compares them with.

The agent loads this module: nothing but `sys` and `time` is imported here.
"""

import sys
import time


class Now:
    """A reading of the clocks in seconds: since the epoch, since boot, and since any moment, for waits."""

    __slots__ = ("boot", "steady", "wall")

    def __init__(self, wall: float, boot: float | None, steady: float) -> None:
        self.wall = wall
        self.boot = boot
        self.steady = steady


def read() -> Now:
    """The clocks of this machine."""
    return Now(time.time(), boot_seconds(), time.monotonic())


def boot_seconds() -> float | None:
    """Seconds since boot, time asleep included, by a clock that cannot be set; None: no such clock."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    if sys.platform == "darwin":  # where CLOCK_MONOTONIC counts sleep
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    return None


class ExpiryThresholds:
    """When a credential expires, by two clocks, and the seconds that must be left for each use of it."""

    __slots__ = ("boot_ends", "ends", "fresh", "refresh", "servable")

    def __init__(
        self, ends: float, boot_ends: float | None, refresh: float, fresh: float, servable: float
    ) -> None:
        self.ends = ends
        self.boot_ends = boot_ends
        self.refresh = refresh
        self.fresh = fresh
        self.servable = servable

    def left(self, now: Now) -> float:
        """Seconds until the credential expires: the lesser of what the two clocks say."""
        by_wall = self.ends - now.wall
        if self.boot_ends is None or now.boot is None:
            return by_wall
        return min(by_wall, self.boot_ends - now.boot)
