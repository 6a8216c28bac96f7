"""How long a credential is fresh, servable and expired, on clocks that jump."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import pytest

from credhelper import freshness
from credhelper.credentials import Clocks, Credentials

MINTED = Clocks(1_000_000.0, 5_000.0, "this boot")
HOUR = 3600.0


def credentials(life: float, skew: float = 0.0, minted: Clocks = MINTED) -> Credentials:
    """Credentials with that life, minted by a clock that is `skew` behind STS's."""
    expiration = int(minted.wall + skew + life)
    return Credentials("ASIA", "SECRET", "TOKEN", expiration, life, skew, minted)


def after(seconds: float, jump: float = 0.0) -> Clocks:
    """The clocks so many seconds after the mint, the wall clock set forward by `jump` meanwhile."""
    return Clocks(MINTED.wall + seconds + jump, 5_000.0 + seconds, "this boot")


class TestFloor:
    @pytest.mark.parametrize(
        ("life", "floor"),
        [
            (129_600, 960),
            (43_200, 960),
            (3_600, 960),
            (1_800, 960),
            (1_799, 630),
            (900, 630),
            (899, 630),
            (700, 630),
            (699, 349.5),
            (300, 150),
            (60, 30),
        ],
    )
    def test_the_table(self, life: float, floor: float) -> None:
        """960 s for half an hour and more, 630 s for AssumeRoot's quarter, half the life below 700 s."""
        assert freshness.floor(life) == floor
        fresh = credentials(life)
        assert freshness.is_fresh(fresh, after(life - floor))
        assert not freshness.is_fresh(fresh, after(life - floor + 1))

    @pytest.mark.parametrize(
        ("life", "min_remaining", "floor"),
        [(900, 0, 0), (900, 120, 120), (900, 450, 450), (900, 451, 450), (900, 86_400, 450), (3_600, 1, 1)],
    )
    def test_min_remaining(self, life: float, min_remaining: float, floor: float) -> None:
        """`min_remaining` replaces the table's figure, but never asks for more than half the life."""
        assert freshness.floor(life, min_remaining) == floor
        assert freshness.is_fresh(credentials(life), after(life - floor), min_remaining)
        assert not freshness.is_fresh(credentials(life), after(life - floor + 1), min_remaining)

    @pytest.mark.parametrize(
        ("life", "ahead"), [(900, 60), (3_600, 240), (4_500, 300), (43_200, 300), (600, 40)]
    )
    def test_refresh_ahead(self, life: float, ahead: float) -> None:
        """A refresh begins a fifteenth of the life above the floor, at most 300 s."""
        assert freshness.refresh_ahead(credentials(life)) == freshness.floor(life) + ahead
        assert freshness.refresh_ahead(credentials(life), 100) == 100 + ahead

    def test_servable(self) -> None:
        """A credential is handed out in need while 60 s remain, and not a second longer."""
        assert freshness.SERVABLE == 60
        assert freshness.is_servable(credentials(900), after(840))
        assert not freshness.is_servable(credentials(900), after(841))


class TestClocks:
    def test_both_agree(self) -> None:
        """With clocks that run as they should, what remains is the life less the time gone by."""
        assert freshness.remaining(credentials(900), after(100)) == 800

    @pytest.mark.parametrize("skew", [-HOUR, -300, 300, HOUR])
    def test_a_clock_that_is_wrong_all_along(self, skew: float) -> None:
        """A clock an hour off, at the mint and after, changes nothing: no mint more, no expired answer."""
        assert freshness.remaining(credentials(900, skew), after(0)) == 900
        assert freshness.is_fresh(credentials(900, skew), after(200))
        assert not freshness.is_fresh(credentials(900, skew), after(300))

    def test_set_back(self) -> None:
        """A wall clock set back an hour does not make an expired credential good again."""
        assert freshness.remaining(credentials(900), after(1_000, -HOUR)) == -100
        assert not freshness.is_servable(credentials(900), after(1_000, -HOUR))

    def test_set_forward(self) -> None:
        """A wall clock set forward an hour costs one mint, and the new credential is fresh on it."""
        now = after(100, HOUR)
        assert not freshness.is_servable(credentials(900), now)
        anew = credentials(900, skew=-HOUR, minted=now)
        assert freshness.remaining(anew, now) == 900
        assert freshness.is_fresh(anew, replace(now, wall=now.wall + 10, boot=(now.boot or 0) + 10))

    def test_suspended(self) -> None:
        """A laptop that slept for eight hours has nothing left: boot time counts sleep."""
        assert freshness.remaining(credentials(900), after(8 * HOUR)) < 0

    @pytest.mark.parametrize(
        "now",
        [
            Clocks(MINTED.wall + 300, 10.0, "another boot"),
            Clocks(MINTED.wall + 300, 9_000.0, "another boot"),
            Clocks(MINTED.wall + 300, 4_000.0, "this boot"),
            Clocks(MINTED.wall + 300),
        ],
        ids=["restarted", "restarted long ago", "boot time gone back", "no boot clock"],
    )
    def test_another_boot(self, now: Clocks) -> None:
        """After a restart there is only the wall clock, corrected by the skew of the mint."""
        assert freshness.remaining(credentials(900), now) == 600
        assert freshness.remaining(credentials(900, skew=50), now) == 600
        assert freshness.elapsed_since(MINTED, now) is None
        assert freshness.since(MINTED, now) == 300

    def test_elapsed(self) -> None:
        """Between two readings of one boot, the clock that cannot be set is believed."""
        assert freshness.elapsed_since(MINTED, after(7, HOUR)) == 7
        assert freshness.since(MINTED, after(7, -HOUR)) == 7

    def test_reading(self) -> None:
        """The clocks are read as this system has them."""
        first, second = freshness.read_clocks(), freshness.read_clocks()
        assert abs(first.wall - time.time()) < 60
        assert 0 <= freshness.since(first, second) < 5
        if sys.platform == "linux":
            assert first.boot is not None
            assert len(first.boot_id) == 36
            assert freshness.elapsed_since(first, second) is not None
