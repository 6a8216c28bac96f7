"""The resolver over real store, locks and record; AWS and the clocks are scripted."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from credhelper import expiry
from credhelper.credentials import Clocks
from credhelper.errors import (
    ConfigError,
    CredhelperError,
    HumanNeededError,
    RefusedError,
    SourceError,
    UnreachableError,
)
from credhelper.sessions.consent import UserInput

from desk import EPOCH, ROLE, Desk, Time, refused
from memory_keyring import MemoryKeyring

if TYPE_CHECKING:
    from pathlib import Path

    from credhelper.sessions.calls import StsCall


def test_a_cached_answer_does_without_aws(desk: Desk) -> None:
    """The second call is answered from the keyring, and what asks AWS is not even loaded."""
    first = desk.get()
    loaded = desk.loaded

    assert desk.get() == first
    assert (len(desk.aws.minted), desk.loaded) == (1, loaded)


@pytest.fixture(name="desk")
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    time = Time()
    monkeypatch.setattr(expiry, "read_clocks", time.read)
    MemoryKeyring.items.clear()
    return Desk(tmp_path, time)


@pytest.mark.parametrize(
    ("life", "last_fresh"),
    [
        (43200, 960),
        (3600, 960),
        (1800, 960),
        (1799, 630),
        (900, 630),
        (899, 630),
        (700, 630),
        (600, 300),
        (100, 50),
    ],
)
def test_a_session_is_handed_out_while_it_keeps_sdks_quiet(
    desk: Desk, life: float, last_fresh: float
) -> None:
    """A cached session is good until the floor for its life, and not a second longer."""
    desk.aws.life = life
    desk.get()
    desk.time.passes(life - last_fresh)
    desk.get()

    assert len(desk.aws.minted) == 1

    desk.time.passes(1)
    desk.get()

    assert len(desk.aws.minted) == 2


def test_min_remaining_overrides_the_floor(desk: Desk) -> None:
    """`min_remaining` decides instead of the table, but never demands more than half a life."""
    desk.profiles["dev"]["min_remaining"] = 3000
    desk.get()
    desk.time.passes(1800)
    desk.get()

    assert len(desk.aws.minted) == 1

    desk.time.passes(1)
    desk.get()

    assert len(desk.aws.minted) == 2


def test_a_session_just_minted_is_handed_out_whatever_its_life(desk: Desk) -> None:
    """The shortest session is answered once: there is nothing better."""
    desk.aws.life = 61

    assert desk.get().life == 61


def test_a_good_session_is_not_withheld_when_a_new_one_cannot_be_had(desk: Desk) -> None:
    """With 60 s or more left, a failed mint is answered with the older session, and logged."""
    first = desk.get()
    desk.time.passes(3600 - 60)
    desk.aws.script.append(UnreachableError("STS did not answer"))

    assert desk.get() == first
    assert "served from the cache because STS did not answer" in desk.log()


def test_a_session_about_to_expire_is_never_handed_out(desk: Desk) -> None:
    """Below 60 s the failure is the answer."""
    desk.get()
    desk.time.passes(3600 - 59)
    desk.aws.script.append(UnreachableError("STS did not answer"))

    with pytest.raises(UnreachableError, match="STS did not answer"):
        desk.get()


def test_nobody_tries_again_for_30_seconds_while_an_older_session_serves(desk: Desk) -> None:
    """A failure with something servable in hand is followed by a pause, not by a storm."""
    first = desk.get()
    desk.time.passes(3600 - 200)
    desk.aws.script.extend([UnreachableError("down"), UnreachableError("down")])
    desk.get()
    desk.time.passes(29)

    assert desk.get() == first
    assert len(desk.aws.script) == 1

    desk.time.passes(2)
    desk.get()

    assert len(desk.aws.script) == 0


def test_who_waited_for_a_failed_mint_gets_the_same_failure(desk: Desk) -> None:
    """A caller that was there before the failure does not ask STS again."""
    waiting_since = desk.time.read()
    desk.time.passes(1)
    desk.aws.script.append(refused())
    with pytest.raises(RefusedError):
        desk.get()

    with pytest.raises(RefusedError, match="not allowed") as caught:
        desk.get(started=waiting_since)

    assert caught.value.hints == ("a hint",)
    assert desk.aws.minted == []


def test_who_comes_after_a_failure_starts_afresh(desk: Desk) -> None:
    """The failure is not held against somebody who has just mended its cause."""
    desk.aws.script.append(refused())
    with pytest.raises(RefusedError):
        desk.get()
    desk.time.passes(0.1)

    assert desk.get().access_key_id == "ASIA1"


def test_a_missing_human_is_not_held_against_those_who_wait(desk: Desk) -> None:
    """Exit 5 passes the mint to the next caller, who may have a terminal."""
    waiting_since = desk.time.read()
    desk.time.passes(1)
    desk.aws.script.append(HumanNeededError("nobody there"))
    with pytest.raises(HumanNeededError):
        desk.get()

    assert desk.get(started=waiting_since).access_key_id == "ASIA1"


def test_a_success_ends_the_memory_of_a_failure(desk: Desk) -> None:
    """After a mint there is no failure left to fall back to."""
    waiting_since = desk.time.read()
    desk.aws.script.append(refused())
    with pytest.raises(RefusedError):
        desk.get()
    desk.time.passes(1)
    desk.get()
    desk.time.passes(3000)

    assert desk.get(started=waiting_since).access_key_id == "ASIA2"


def test_refresh_mints_although_the_cached_session_is_fresh(desk: Desk) -> None:
    """--refresh mints and stores."""
    desk.get()
    desk.time.passes(1)
    refreshed = desk.get(mode="mint")

    assert refreshed.access_key_id == "ASIA2"
    assert desk.get() == refreshed


def test_refresh_joins_a_mint_that_was_under_way(desk: Desk) -> None:
    """What was minted after the refresh was asked for is new enough."""
    asked = desk.time.read()
    desk.time.passes(2)
    minted = desk.get()

    assert desk.get(started=asked, mode="mint") == minted


def test_without_cache_nothing_is_read_or_stored(desk: Desk) -> None:
    """--no-cache mints each time and leaves what is stored alone."""
    stored = desk.get()

    assert desk.get(cache=False).access_key_id == "ASIA2"
    assert desk.get() == stored


@pytest.mark.parametrize("cache", [False, "memory"])
def test_what_may_not_be_stored_is_not(desk: Desk, cache: object) -> None:
    """`cache = false` and, without an agent, `cache = "memory"` leave nothing in the keyring."""
    desk.profiles["dev"]["cache"] = cache
    desk.get()
    desk.get()

    assert (len(desk.aws.minted), MemoryKeyring.items) == (2, {})


def test_without_a_place_for_locks_the_answer_still_comes(desk: Desk) -> None:
    """No runtime directory: no locks, and no failure either."""
    desk.locks_in = None

    assert desk.get().access_key_id == "ASIA1"


def test_each_hop_of_a_chain_is_cached_by_itself(desk: Desk) -> None:
    """A second role over the same first hop costs one call, made with the cached session's key."""
    desk.profiles |= {
        "one": {"role_arn": ROLE + "One", "source_profile": "dev"},
        "two": {"role_arn": ROLE + "Two", "source_profile": "dev"},
    }
    desk.get("one")
    desk.get("two")

    assert desk.aws.minted == [("dev", "AKIASOURCE", None), ("one", "ASIA1", None), ("two", "ASIA1", None)]


def test_a_cached_answer_does_not_touch_the_hops_below(desk: Desk) -> None:
    """The outermost call is looked up first; what it rests on may have expired long ago."""
    desk.profiles["one"] = {"role_arn": ROLE + "One", "source_profile": "dev"}
    one = desk.get("one")
    MemoryKeyring.items.pop(next(item for item in MemoryKeyring.items if desk.call("dev").key in item[0]))

    assert desk.get("one") == one


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidClientTokenId"])
def test_a_cached_hop_that_aws_no_longer_takes_is_minted_anew_once(desk: Desk, code: str) -> None:
    """A session under the call that turns out dead is replaced, whatever its expiration says."""
    desk.profiles["one"] = {"role_arn": ROLE + "One", "source_profile": "dev"}
    desk.get()
    desk.time.passes(1)
    desk.aws.script.append(SourceError("dead", code=code))
    desk.get("one")

    assert desk.aws.minted[1:] == [("dev", "AKIASOURCE", None), ("one", "ASIA2", None)]


def test_an_edited_profile_is_another_call(desk: Desk) -> None:
    """What the old role minted never answers for the new one."""
    old = desk.get()
    desk.profiles["dev"]["role_arn"] = ROLE + "New"
    new = desk.get()
    desk.profiles["dev"]["role_arn"] = ROLE

    assert new != old
    assert desk.get() == old


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_wall_clock_that_jumps_mints_at_most_once_more(desk: Desk, jump: float) -> None:
    """An hour either way serves nothing expired and does not mint in a loop."""
    desk.get()
    desk.time.wall += jump
    desk.aws.skew = -jump
    for _ in range(5):
        credentials = desk.get()
        desk.time.passes(10)

    assert len(desk.aws.minted) <= 2
    assert expiry.remaining(credentials, desk.time.read()) > 60


def test_a_clock_set_back_does_not_lengthen_a_session(desk: Desk) -> None:
    """The boot clock knows that the hour is over, whatever the wall clock says."""
    desk.get()
    desk.time.passes(3601)
    desk.time.wall -= 3600
    desk.get()

    assert len(desk.aws.minted) == 2


def test_after_a_reboot_the_wall_clock_decides(desk: Desk) -> None:
    """Another boot id: the boot clock began anew and says nothing."""
    desk.get()
    desk.time.boot, desk.time.boot_id = 10.0, "second"
    desk.get()
    desk.time.wall += 3000
    desk.get()

    assert len(desk.aws.minted) == 2


def test_skew_is_counted_from_the_answer(desk: Desk) -> None:
    """STS's clock being ahead shortens what is left by ours, and is logged when it is large."""
    desk.aws.skew = 600.0
    desk.get()
    desk.time.passes(3600 - 960)
    desk.get()

    assert len(desk.aws.minted) == 1
    assert "clock is 600 s behind AWS's" in desk.log()


def test_every_mint_is_on_record(desk: Desk) -> None:
    """The record has what joins it with CloudTrail, who asked and why, and never a secret."""
    desk.said = UserInput(reason="ticket 4711")
    desk.profiles["one"] = {"role_arn": ROLE + "One", "source_profile": "dev"}
    desk.get("one")
    first, second = desk.record()

    assert (first["outcome"], first["api"], first["access_key_id"]) == ("minted", "AssumeRole", "ASIA1")
    assert (first["target"], first["account"], first["request_id"]) == (ROLE, "222233334444", "request-1")
    assert (first["reason"], first["program"], first["program_pid"]) == ("ticket 4711", "terraform", 4711)
    assert second["source_arn"] == "arn:aws:sts::222233334444:assumed-role/dev/me"
    assert "secret" not in json.dumps([first, second]).replace("secret_access_key", "")


def test_a_refusal_is_on_record_too(desk: Desk) -> None:
    """The error code tells a refusal; a call without an answer may have minted, so it is there as failed."""
    desk.aws.script.extend([refused(), UnreachableError("no answer")])
    for kind in (RefusedError, UnreachableError):
        with pytest.raises(kind):
            desk.get()
        desk.time.passes(1)

    assert [(line["outcome"], line["error"]) for line in desk.record()] == [
        ("refused", "AccessDenied"),
        ("failed", None),
    ]


def test_where_the_record_is_required_nothing_is_minted_without_it(desk: Desk) -> None:
    """[audit] required: a record that cannot be written stops the mint before STS is asked."""
    desk.required = True
    (desk.place / "state").mkdir(mode=0o700)
    os.mkfifo(desk.place / "state/audit.jsonl")

    with pytest.raises(CredhelperError, match="nothing is minted"):
        desk.get()

    assert desk.aws.minted == []


def test_where_the_record_is_not_required_the_answer_still_comes(desk: Desk) -> None:
    """A record that cannot be written is said in the log."""
    (desk.place / "state").mkdir(mode=0o700)
    os.mkfifo(desk.place / "state/audit.jsonl")
    desk.get()

    assert "the record cannot be written" in desk.log()


def test_a_profile_that_wants_confirmation_does_not_mint_unasked(desk: Desk) -> None:
    """`confirm` needs a yes; with one, the record says how it was given."""
    desk.profiles["dev"]["confirm"] = True
    with pytest.raises(HumanNeededError, match="asks for your confirmation, and no prompt is possible"):
        desk.get()
    desk.said = UserInput(yes=True)
    desk.get()

    assert desk.record()[-1]["confirmed_by"] == "ana by --yes"


@pytest.mark.parametrize(
    ("wanted", "reason"), [(True, None), (r"[A-Z]+-\d+", None), (r"[A-Z]+-\d+", "because")]
)
def test_a_profile_that_wants_a_reason_does_not_mint_without(
    desk: Desk, wanted: object, reason: str | None
) -> None:
    """`require_reason` needs one, and one that matches."""
    desk.profiles["dev"]["require_reason"] = wanted
    desk.said = UserInput(reason=reason)

    with pytest.raises(HumanNeededError, match="reason"):
        desk.get()

    desk.said = UserInput(reason="OPS-12: bucket locked")

    assert desk.get().access_key_id == "ASIA1"


def test_an_mfa_code_is_asked_for_once_for_all_roles_of_the_device(desk: Desk) -> None:
    """Roles with the same device share one GetSessionToken."""
    codes: list[str] = []

    def ask(call: StsCall) -> str:
        codes.append(call.parameters["SerialNumber"])
        return "123456"

    desk.ask_code = ask
    device = {"mfa_serial": "arn:aws:iam::999988887777:mfa/me"}
    desk.profiles = {"a": {"role_arn": ROLE + "A", **device}, "b": {"role_arn": ROLE + "B", **device}}
    desk.get("a")
    desk.get("b")

    assert codes == ["arn:aws:iam::999988887777:mfa/me"]
    assert [(name.split(" of ")[0], code) for name, _, code in desk.aws.minted] == [
        ("MFA session", "123456"),
        ("a", None),
        ("b", None),
    ]


def test_without_anybody_to_ask_a_code_is_a_missing_human(desk: Desk) -> None:
    """No prompt, no code: exit 5."""
    desk.profiles["dev"]["mfa_serial"] = "arn:aws:iam::999988887777:mfa/me"

    with pytest.raises(HumanNeededError, match="needs an MFA code, and no prompt is possible"):
        desk.get()


def test_a_loop_found_further_down_is_not_covered_up_by_the_cache(desk: Desk) -> None:
    """A configuration error is for the person to mend, even while an older session would serve."""
    desk.get()
    desk.time.passes(3000)
    desk.aws.script.append(ConfigError("profiles form a loop"))

    with pytest.raises(ConfigError):
        desk.get()


def test_damaged_items_are_a_miss(desk: Desk) -> None:
    """What cannot be read back whole is minted anew."""
    desk.get()
    for item, text in MemoryKeyring.items.items():
        MemoryKeyring.items[item] = text[:-1] + "!"

    assert desk.get().access_key_id == "ASIA2"


def test_a_session_stored_by_a_clock_in_the_future_is_not_trusted_longer(desk: Desk) -> None:
    """`minted` after now on the same boot is no elapsed time; the wall clock still bounds it."""
    minted = desk.get()
    desk.store.put(
        desk.call().key,
        replace(minted, minted=Clocks(EPOCH, 9_999_999.0, "first"), expiration=int(EPOCH) + 100),
        profile="dev",
        kind="role",
    )
    desk.get()

    assert len(desk.aws.minted) == 2
