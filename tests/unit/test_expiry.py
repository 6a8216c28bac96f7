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
    expiration = int(minted.wall + skew + life)
    return Credentials("ASIA", "SECRET", "TOKEN", expiration, life, skew, minted)


def after(seconds: float, jump: float = 0.0) -> Clocks:
    """The clocks `seconds` after the mint, with the wall clock set forward by `jump`."""
    return Clocks(MINTED.wall + seconds + jump, 5_000.0 + seconds, "this boot")


class TestFloor:
    @pytest.mark.parametrize(
        ("floor", "min_remaining", "lives"),
        [
            (960, None, (129_600, 43_200, 3_600, 1_800)),
            (630, None, (1_799, 900, 899, 700)),
            (349.5, None, (699,)),
            (150, None, (300,)),
            (30, None, (60,)),
            (0, 0, (900,)),
            (120, 120, (900,)),
            (450, 450, (900,)),
            (450, 451, (900,)),
            (450, 86_400, (900,)),
            (1, 1, (3_600,)),
        ],
    )
    def test_a_session_is_fresh_until_the_floor_of_its_life_or_min_remaining(
        self, floor: float, min_remaining: float | None, lives: tuple[float, ...]
    ) -> None:
        for life in lives:
            assert expiry.floor(life, min_remaining) == floor
            assert expiry.is_fresh(credentials(life), after(life - floor), min_remaining)
            assert not expiry.is_fresh(credentials(life), after(life - floor + 1), min_remaining)

    @pytest.mark.parametrize(
        ("life", "ahead"), [(900, 60), (3_600, 240), (4_500, 300), (43_200, 300), (600, 40)]
    )
    def test_a_refresh_begins_a_share_of_the_life_above_the_floor(self, life: float, ahead: float) -> None:
        assert expiry.refresh_ahead(credentials(life)) == expiry.floor(life) + ahead
        assert expiry.refresh_ahead(credentials(life), 100) == 100 + ahead

    def test_a_session_is_servable_while_60_s_remain(self) -> None:
        assert expiry.SERVABLE == 60
        assert expiry.is_servable(credentials(900), after(840))
        assert not expiry.is_servable(credentials(900), after(841))


class TestClocks:
    @pytest.mark.parametrize(
        ("now", "left"),
        [(after(100), 800), (after(1_000, -HOUR), -100), (after(8 * HOUR), 900 - 8 * HOUR)],
        ids=["both clocks agree", "wall clock set back", "suspended"],
    )
    def test_what_remains_is_the_life_minus_the_time_since_boot(self, now: Clocks, left: float) -> None:
        assert expiry.remaining(credentials(900), now) == left
        assert expiry.is_servable(credentials(900), now) is (left > 60)

    @pytest.mark.parametrize("skew", [-HOUR, -300, 300, HOUR])
    def test_a_clock_that_is_always_wrong_changes_nothing(self, skew: float) -> None:
        assert expiry.remaining(credentials(900, skew), after(0)) == 900
        assert [expiry.is_fresh(credentials(900, skew), after(then)) for then in (200, 300)] == [True, False]

    def test_a_wall_clock_set_forward_costs_one_mint(self) -> None:
        now = after(100, HOUR)
        assert not expiry.is_servable(credentials(900), now)
        anew = credentials(900, skew=-HOUR, minted=now)
        assert expiry.remaining(anew, now) == 900
        assert expiry.is_fresh(anew, replace(now, wall=now.wall + 10, boot=(now.boot or 0) + 10))

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
    def test_after_a_reboot_only_the_wall_clock_counts(self, now: Clocks) -> None:
        assert expiry.remaining(credentials(900), now) == 600
        assert expiry.remaining(credentials(900, skew=50), now) == 600
        assert expiry.elapsed_since(MINTED, now) is None
        assert expiry.since(MINTED, now) == 300

    def test_within_one_boot_the_clock_that_cannot_be_set_counts(self) -> None:
        assert expiry.elapsed_since(MINTED, after(7, HOUR)) == 7
        assert expiry.since(MINTED, after(7, -HOUR)) == 7

    def test_the_clocks_of_this_system_are_read(self) -> None:
        first, second = expiry.read_clocks(), expiry.read_clocks()
        assert abs(first.wall - time.time()) < 60
        assert 0 <= expiry.since(first, second) < 5
        if sys.platform == "linux":
            assert first.boot is not None
            assert len(first.boot_id) == 36
            assert expiry.elapsed_since(first, second) is not None


def now(clocks: Clocks) -> Now:
    return Now(clocks.wall, clocks.boot, 0.0)


def as_tuple(thresholds: ExpiryThresholds) -> tuple[Any, ...]:
    return thresholds.ends, thresholds.boot_ends, thresholds.refresh, thresholds.fresh, thresholds.servable


def thresholds(minted: Credentials, clocks: Clocks, **how: Any) -> ExpiryThresholds:
    """The moments of a credential, computed at these clocks; nothing special unless said."""
    return expiry.thresholds(minted, clocks, **{"min_remaining": None, "ahead": True, "failed": False, **how})


class TestThresholds:
    @pytest.mark.parametrize(
        ("life", "how", "refresh", "fresh", "servable"),
        [
            (43_200, {}, 1260, 960, 60),
            (3_600, {}, 1200, 960, 60),
            (900, {}, 690, 630, 60),
            (300, {}, 170, 150, 60),
            (60, {}, 34, 30, 30),
            (900, {"min_remaining": 120}, 180, 120, 60),
            (900, {"min_remaining": 30}, 90, 30, 30),
            (900, {"min_remaining": 0}, 60, 0, 0),
            (900, {"min_remaining": 800}, 510, 450, 60),
            (900, {"ahead": False}, float("-inf"), 630, 60),
        ],
    )
    def test_the_seconds_that_must_be_left_follow_the_floor(
        self, life: float, how: dict[str, Any], refresh: float, fresh: float, servable: float
    ) -> None:
        assert as_tuple(thresholds(credentials(life), after(0), **how))[2:] == (refresh, fresh, servable)

    @pytest.mark.parametrize("skew", [0, -HOUR, -300, 300, HOUR])
    def test_the_end_is_told_on_both_clocks_of_this_machine(self, skew: float) -> None:
        minted = credentials(900, skew)
        found = thresholds(minted, after(100))
        assert minted.expiration == MINTED.wall + skew + 900
        assert as_tuple(found)[:2] == (MINTED.wall + 900, 5_000.0 + 900)
        assert found.left(now(after(100))) == 800

    @pytest.mark.parametrize(
        "clocks",
        [Clocks(MINTED.wall + 300, 10.0, "another boot"), Clocks(MINTED.wall + 300)],
        ids=["another boot", "no boot clock"],
    )
    def test_after_a_reboot_the_end_is_known_by_the_wall_clock_alone(self, clocks: Clocks) -> None:
        found = thresholds(credentials(900), clocks)
        assert (found.boot_ends, found.left(now(clocks))) == (None, 600)

    @pytest.mark.parametrize(
        ("left", "how", "refresh"),
        [
            (500, {}, 470),
            (500, {"ahead": False}, float("-inf")),
            *((left, {}, 60) for left in (89, 60, 59, -10)),
        ],
    )
    def test_after_a_failure_the_next_attempt_comes_in_30_s_and_before_the_session_is_no_longer_servable(
        self, left: float, how: dict[str, Any], refresh: float
    ) -> None:
        found = thresholds(credentials(900), after(900 - left), failed=True, **how)
        assert as_tuple(found)[2:] == (refresh, 60, 60)

    @given(
        life=some.integers(60, 129_600),
        skew=some.integers(-7200, 7200),
        put=some.integers(0, 50_000),
        asked=some.integers(0, 50_000),
        jumps=some.tuples(some.integers(-7200, 7200), some.integers(-7200, 7200)),
        min_remaining=some.none() | some.integers(0, 3600),
        boot_id=some.sampled_from(["this boot", "another boot"]),
    )
    def test_the_agent_computes_the_same_whenever_it_is_asked_and_however_the_clock_jumps(
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
        minted = credentials(life, skew, replace(MINTED, boot_id=boot_id))
        found = thresholds(minted, after(put, jumps[0]), min_remaining=min_remaining)
        then = after(put + asked, jumps[1])
        left = found.left(now(then))
        assert left == expiry.remaining(minted, then)
        assert (left >= found.fresh) == expiry.is_fresh(minted, then, min_remaining)
        assert found.refresh == expiry.refresh_ahead(minted, min_remaining)
        if min_remaining is None and life >= 120:
            assert (left >= found.servable) == expiry.is_servable(minted, then)
