"""How long a credential is fresh, servable and expired, on clocks that jump."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from credhelper import expiry
from credhelper.clocks import Now
from credhelper.credentials import Clocks, Credentials

if TYPE_CHECKING:
    from credhelper.clocks import ExpiryThresholds

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
        assert expiry.floor(life) == floor
        fresh = credentials(life)
        assert expiry.is_fresh(fresh, after(life - floor))
        assert not expiry.is_fresh(fresh, after(life - floor + 1))

    @pytest.mark.parametrize(
        ("life", "min_remaining", "floor"),
        [(900, 0, 0), (900, 120, 120), (900, 450, 450), (900, 451, 450), (900, 86_400, 450), (3_600, 1, 1)],
    )
    def test_min_remaining(self, life: float, min_remaining: float, floor: float) -> None:
        """`min_remaining` replaces the table's figure, but never asks for more than half the life."""
        assert expiry.floor(life, min_remaining) == floor
        assert expiry.is_fresh(credentials(life), after(life - floor), min_remaining)
        assert not expiry.is_fresh(credentials(life), after(life - floor + 1), min_remaining)

    @pytest.mark.parametrize(
        ("life", "ahead"), [(900, 60), (3_600, 240), (4_500, 300), (43_200, 300), (600, 40)]
    )
    def test_refresh_ahead(self, life: float, ahead: float) -> None:
        """A refresh begins a fifteenth of the life above the floor, at most 300 s."""
        assert expiry.refresh_ahead(credentials(life)) == expiry.floor(life) + ahead
        assert expiry.refresh_ahead(credentials(life), 100) == 100 + ahead

    def test_servable(self) -> None:
        """A credential is handed out in need while 60 s remain, and not a second longer."""
        assert expiry.SERVABLE == 60
        assert expiry.is_servable(credentials(900), after(840))
        assert not expiry.is_servable(credentials(900), after(841))


class TestClocks:
    def test_both_agree(self) -> None:
        """With clocks that run as they should, what remains is the life less the time gone by."""
        assert expiry.remaining(credentials(900), after(100)) == 800

    @pytest.mark.parametrize("skew", [-HOUR, -300, 300, HOUR])
    def test_a_clock_that_is_wrong_all_along(self, skew: float) -> None:
        """A clock an hour off, at the mint and after, changes nothing: no mint more, no expired answer."""
        assert expiry.remaining(credentials(900, skew), after(0)) == 900
        assert expiry.is_fresh(credentials(900, skew), after(200))
        assert not expiry.is_fresh(credentials(900, skew), after(300))

    def test_set_back(self) -> None:
        """A wall clock set back an hour does not make an expired credential good again."""
        assert expiry.remaining(credentials(900), after(1_000, -HOUR)) == -100
        assert not expiry.is_servable(credentials(900), after(1_000, -HOUR))

    def test_set_forward(self) -> None:
        """A wall clock set forward an hour costs one mint, and the new credential is fresh on it."""
        now = after(100, HOUR)
        assert not expiry.is_servable(credentials(900), now)
        anew = credentials(900, skew=-HOUR, minted=now)
        assert expiry.remaining(anew, now) == 900
        assert expiry.is_fresh(anew, replace(now, wall=now.wall + 10, boot=(now.boot or 0) + 10))

    def test_suspended(self) -> None:
        """A laptop that slept for eight hours has nothing left: boot time counts sleep."""
        assert expiry.remaining(credentials(900), after(8 * HOUR)) < 0

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
        assert expiry.remaining(credentials(900), now) == 600
        assert expiry.remaining(credentials(900, skew=50), now) == 600
        assert expiry.elapsed_since(MINTED, now) is None
        assert expiry.since(MINTED, now) == 300

    def test_elapsed(self) -> None:
        """Between two readings of one boot, the clock that cannot be set is believed."""
        assert expiry.elapsed_since(MINTED, after(7, HOUR)) == 7
        assert expiry.since(MINTED, after(7, -HOUR)) == 7

    def test_reading(self) -> None:
        """The clocks are read as this system has them."""
        first, second = expiry.read_clocks(), expiry.read_clocks()
        assert abs(first.wall - time.time()) < 60
        assert 0 <= expiry.since(first, second) < 5
        if sys.platform == "linux":
            assert first.boot is not None
            assert len(first.boot_id) == 36
            assert expiry.elapsed_since(first, second) is not None


def now(clocks: Clocks) -> Now:
    """The same reading as the agent has it."""
    return Now(clocks.wall, clocks.boot, 0.0)


def as_tuple(thresholds: ExpiryThresholds) -> tuple[Any, ...]:
    """All of it, to compare."""
    return thresholds.ends, thresholds.boot_ends, thresholds.refresh, thresholds.fresh, thresholds.servable


def thresholds(minted: Credentials, clocks: Clocks, **how: Any) -> ExpiryThresholds:
    """The moments of a credential, computed at these clocks; nothing special unless said."""
    return expiry.thresholds(minted, clocks, **{"min_remaining": None, "ahead": True, "failed": False, **how})


class TestInstants:
    @pytest.mark.parametrize(
        ("life", "refresh", "fresh", "servable"),
        [
            (43_200, 1260, 960, 60),
            (3_600, 1200, 960, 60),
            (900, 690, 630, 60),
            (300, 170, 150, 60),
            (60, 34, 30, 30),
        ],
    )
    def test_the_seconds_that_must_be_left(
        self, life: float, refresh: float, fresh: float, servable: float
    ) -> None:
        """The thresholds are those of the table, in seconds left; a short life serves while it is fresh."""
        found = thresholds(credentials(life), after(0))

        assert as_tuple(found)[2:] == (refresh, fresh, servable)

    def test_the_ends(self) -> None:
        """A credential ends by the wall clock when it expires, and by the clock since boot a life later."""
        found = thresholds(credentials(900), after(100))

        assert as_tuple(found)[:2] == (MINTED.wall + 900, 5_000.0 + 900)

    @pytest.mark.parametrize("skew", [-HOUR, -300, 300, HOUR])
    def test_the_end_on_this_machines_clock(self, skew: float) -> None:
        """With a clock that is wrong all along, the end is told on that clock, not on that of STS."""
        minted = credentials(900, skew)
        found = thresholds(minted, after(0))

        assert minted.expiration == MINTED.wall + skew + 900
        assert found.ends == MINTED.wall + 900
        assert found.left(now(after(100))) == 800

    @pytest.mark.parametrize(
        "clocks",
        [Clocks(MINTED.wall + 300, 10.0, "another boot"), Clocks(MINTED.wall + 300)],
        ids=["another boot", "no boot clock"],
    )
    def test_another_boot(self, clocks: Clocks) -> None:
        """What was minted before this boot has an end by the wall clock alone."""
        found = thresholds(credentials(900), clocks)

        assert (found.boot_ends, found.left(now(clocks))) == (None, 600)

    @pytest.mark.parametrize(
        ("min_remaining", "refresh", "fresh", "servable"),
        [(120, 180, 120, 60), (30, 90, 30, 30), (0, 60, 0, 0), (800, 510, 450, 60)],
    )
    def test_min_remaining(self, min_remaining: float, refresh: float, fresh: float, servable: float) -> None:
        """`min_remaining` moves what is fresh, and the refresh with it, and never serves longer than that."""
        found = thresholds(credentials(900), after(0), min_remaining=min_remaining)

        assert as_tuple(found)[2:] == (refresh, fresh, servable)

    def test_a_mint_that_needs_a_person(self) -> None:
        """It is never begun ahead of need, however little is left."""
        found = thresholds(credentials(900), after(0), ahead=False)

        assert (found.refresh, found.fresh) == (float("-inf"), 630)

    def test_after_a_failure(self) -> None:
        """What still serves is handed out at once, and the next attempt comes after 30 s."""
        found = thresholds(credentials(900), after(400), failed=True)

        assert as_tuple(found)[2:] == (500 - 30, 60, 60)
        assert as_tuple(thresholds(credentials(900), after(400), failed=True, ahead=False))[2] == float(
            "-inf"
        )

    @pytest.mark.parametrize("left", [89, 60, 59, -10])
    def test_after_a_failure_near_the_end(self, left: float) -> None:
        """No attempt is put off until the credential no longer serves."""
        found = thresholds(credentials(900), after(900 - left), failed=True)

        assert as_tuple(found)[2:] == (60, 60, 60)

    @given(
        life=some.integers(60, 129_600),
        skew=some.integers(-7200, 7200),
        put=some.integers(0, 50_000),
        asked=some.integers(0, 50_000),
        jumps=some.tuples(some.integers(-7200, 7200), some.integers(-7200, 7200)),
        min_remaining=some.none() | some.integers(0, 3600),
        boot_id=some.sampled_from(["this boot", "another boot"]),
    )
    def test_the_agent_reckons_as_everybody_does(
        self,
        *,
        life: int,
        skew: int,
        put: int,
        asked: int,
        jumps: tuple[int, int],
        min_remaining: int | None,
        boot_id: str,
    ) -> None:
        """Whenever it was put and however the clock jumps: left, fresh and due are what this room says."""
        minted = credentials(life, skew, replace(MINTED, boot_id=boot_id))
        found = thresholds(minted, after(put, jumps[0]), min_remaining=min_remaining)
        then = after(put + asked, jumps[1])
        left = found.left(now(then))

        assert left == expiry.remaining(minted, then)
        assert (left >= found.fresh) == expiry.is_fresh(minted, then, min_remaining)
        assert found.refresh == expiry.refresh_ahead(minted, min_remaining)
        if min_remaining is None and life >= 120:
            assert (left >= found.servable) == expiry.is_servable(minted, then)
