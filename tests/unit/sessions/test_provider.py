"""The provider over a real store, locks and audit log; AWS and the clocks are scripted."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from credhelper import expiry
from credhelper.agent.client import AgentClient, Lease
from credhelper.credentials import AccessKey, Clocks
from credhelper.errors import (
    ConfigError,
    CredhelperError,
    InteractionError,
    NoPromptError,
    OutOfTimeError,
    RefusedError,
    SourceError,
    UnreachableError,
)
from credhelper.sessions.consent import UserInput

from desk import EPOCH, ROLE, Desk, Time, refused
from memory_keyring import MemoryKeyring

if TYPE_CHECKING:
    from pathlib import Path

    from credhelper.prompts import Question


MFA = {"mfa_serial": "arn:aws:iam::999988887777:mfa/me"}
ONE = {"role_arn": ROLE + "One", "source_profile": "dev"}
TWO = {"role_arn": ROLE + "Two", "source_profile": "dev"}


@pytest.fixture(name="desk")
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, Time(), monkeypatch)


def test_a_cached_session_is_answered_without_loading_the_sts_client(desk) -> None:
    first, loaded = desk.get(), desk.loaded
    assert desk.get() == first
    assert (len(desk.aws.minted), desk.loaded) == (1, loaded)


@pytest.mark.parametrize(
    ("life", "own", "last_fresh"),
    [
        (43200, {}, 960),
        (3600, {}, 960),
        (1800, {}, 960),
        (1799, {}, 630),
        (900, {}, 630),
        (899, {}, 630),
        (700, {}, 630),
        (600, {}, 300),
        (100, {}, 50),
        (3600, {"min_remaining": 3000}, 1800),
    ],
)
def test_a_cached_session_is_handed_out_until_its_floor_and_not_a_second_longer(
    desk, life: float, own: dict[str, int], last_fresh: float
) -> None:
    desk.profiles["dev"] |= own
    desk.aws.life = life
    desk.get()
    for seconds, minted in ((life - last_fresh, 1), (1, 2)):
        desk.time.passes(seconds)
        desk.get()
        assert len(desk.aws.minted) == minted


def test_a_session_just_minted_is_handed_out_whatever_its_life(desk) -> None:
    desk.aws.life = 61
    assert desk.get().life == 61


def test_a_failed_mint_is_answered_with_a_session_that_has_60_s_left(desk) -> None:
    first = desk.get()
    desk.time.passes(3600 - 60)
    desk.aws.script.extend([UnreachableError("STS did not answer")] * 2)
    assert desk.get() == first
    assert "served from the cache because STS did not answer" in desk.log()
    desk.time.passes(1)
    with pytest.raises(UnreachableError, match="STS did not answer"):
        desk.get()


def test_after_a_failure_no_mint_is_tried_for_30_s_while_a_session_is_servable(desk) -> None:
    first = desk.get()
    desk.time.passes(3600 - 200)
    desk.aws.script.extend([UnreachableError("down"), UnreachableError("down")])
    for seconds, attempts_left in ((0, 1), (29, 1), (2, 0)):
        desk.time.passes(seconds)
        assert desk.get() == first
        assert len(desk.aws.script) == attempts_left


def fail(desk: Desk, error: CredhelperError) -> Clocks:
    """A mint that fails; returns when another caller began to wait for it."""
    waiting_since = desk.time.read()
    desk.time.passes(1)
    desk.aws.script.append(error)
    with pytest.raises(type(error)):
        desk.get()
    return waiting_since


def test_a_caller_that_waited_for_a_failed_mint_gets_the_same_failure(desk) -> None:
    waiting_since = fail(desk, refused())
    with pytest.raises(RefusedError, match="not allowed") as caught:
        desk.get(started=waiting_since)
    assert caught.value.hints == ("a hint",)
    assert desk.aws.minted == []


def test_a_caller_that_comes_after_a_failure_mints_and_ends_the_memory_of_it(desk) -> None:
    waiting_since = fail(desk, refused())
    desk.time.passes(0.1)
    assert desk.get().access_key_id == "ASIA1"
    desk.time.passes(3000)
    assert desk.get(started=waiting_since).access_key_id == "ASIA2"


def test_after_a_caller_that_cannot_prompt_the_next_one_mints(desk) -> None:
    waiting_since = fail(desk, InteractionError("no terminal"))
    assert desk.get(started=waiting_since).access_key_id == "ASIA1"


def test_refresh_mints_although_the_cached_session_is_fresh(desk) -> None:
    desk.get()
    desk.time.passes(1)
    refreshed = desk.get(mode="mint")
    assert refreshed.access_key_id == "ASIA2"
    assert desk.get() == refreshed


def test_refresh_joins_a_mint_that_was_under_way(desk) -> None:
    asked = desk.time.read()
    desk.time.passes(2)
    minted = desk.get()
    assert desk.get(started=asked, mode="mint") == minted


def test_without_cache_nothing_is_read_or_stored(desk) -> None:
    stored = desk.get()
    assert desk.get(cache=False).access_key_id == "ASIA2"
    assert desk.get() == stored


@pytest.mark.parametrize("cache", [False, "memory"])
def test_a_profile_without_a_keyring_cache_stores_nothing(desk, cache: object) -> None:
    desk.profiles["dev"]["cache"] = cache
    desk.get()
    desk.get()
    assert (len(desk.aws.minted), MemoryKeyring.items) == (2, {})


def test_without_a_lock_directory_a_session_is_minted(desk) -> None:
    desk.locks_in = None
    assert desk.get().access_key_id == "ASIA1"


def test_each_call_of_a_chain_is_cached_and_does_not_need_its_parent(desk) -> None:
    desk.profiles |= {"one": ONE, "two": TWO}
    one = desk.get("one")
    desk.get("two")
    assert desk.aws.minted == [("dev", "AKIASOURCE", None), ("one", "ASIA1", None), ("two", "ASIA1", None)]
    MemoryKeyring.items.pop(next(item for item in MemoryKeyring.items if desk.call("dev").key in item[0]))
    assert desk.get("one") == one


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidClientTokenId"])
def test_a_cached_parent_that_aws_rejects_is_minted_again_once(desk, code: str) -> None:
    desk.profiles["one"] = ONE
    desk.get()
    desk.time.passes(1)
    desk.aws.script.append(SourceError("dead", code=code))
    desk.get("one")
    assert desk.aws.minted[1:] == [("dev", "AKIASOURCE", None), ("one", "ASIA2", None)]


def test_an_edited_profile_is_another_call(desk) -> None:
    old = desk.get()
    desk.profiles["dev"]["role_arn"] = ROLE + "New"
    assert desk.get() != old
    desk.profiles["dev"]["role_arn"] = ROLE
    assert desk.get() == old


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_wall_clock_that_jumps_mints_at_most_once_more(desk, jump: float) -> None:
    desk.get()
    desk.time.wall += jump
    desk.aws.skew = -jump
    for _ in range(5):
        credentials = desk.get()
        desk.time.passes(10)
    assert len(desk.aws.minted) <= 2
    assert expiry.remaining(credentials, desk.time.read()) > 60


def test_a_clock_set_back_does_not_lengthen_a_session(desk) -> None:
    desk.get()
    desk.time.passes(3601)
    desk.time.wall -= 3600
    desk.get()
    assert len(desk.aws.minted) == 2


def test_after_a_reboot_the_wall_clock_decides(desk) -> None:
    desk.get()
    desk.time.boot, desk.time.boot_id = 10.0, "second"
    for seconds, minted in ((0, 1), (3000, 2)):
        desk.time.wall += seconds
        desk.get()
        assert len(desk.aws.minted) == minted


def test_skew_of_sts_is_subtracted_and_logged_when_large(desk) -> None:
    desk.aws.skew = 600.0
    desk.get()
    desk.time.passes(3600 - 960)
    desk.get()
    assert len(desk.aws.minted) == 1
    assert "clock is 600 s behind AWS's" in desk.log()


def test_a_mint_is_recorded_without_secrets(desk) -> None:
    desk.said = UserInput(reason="ticket 4711")
    desk.profiles["one"] = ONE
    desk.get("one")
    first, second = desk.record()
    expected = {"outcome": "minted", "api": "AssumeRole", "access_key_id": "ASIA1", "request_id": "request-1"}
    expected |= {"target": ROLE, "account": "222233334444", "reason": "ticket 4711", "program": "terraform"}
    assert first == {**first, **expected, "program_pid": os.getpid()}
    assert second["source_arn"] == "arn:aws:sts::222233334444:assumed-role/dev/me"
    assert "secret" not in json.dumps([first, second]).replace("secret_access_key", "")


def test_a_refusal_and_a_call_without_an_answer_are_recorded(desk) -> None:
    desk.aws.script.extend([refused(), UnreachableError("no answer")])
    for kind in (RefusedError, UnreachableError):
        with pytest.raises(kind):
            desk.get()
        desk.time.passes(1)
    found = [(line["outcome"], line["error"]) for line in desk.record()]
    assert found == [("refused", "AccessDenied"), ("failed", None)]


def test_an_audit_log_that_cannot_be_written_prevents_a_mint_only_if_it_is_required(desk) -> None:
    desk.required = True
    (desk.place / "state").mkdir(mode=0o700)
    os.mkfifo(desk.place / "state/audit.jsonl")
    with pytest.raises(CredhelperError, match="nothing is minted"):
        desk.get()
    assert desk.aws.minted == []
    desk.required = False
    desk.time.passes(1)
    desk.get()
    assert "the audit log cannot be written" in desk.log()


def test_a_profile_with_confirm_mints_only_after_a_confirmation(desk) -> None:
    desk.profiles["dev"]["confirm"] = True
    with pytest.raises(InteractionError, match="asks for your confirmation, and no prompt is possible"):
        desk.get()
    desk.said = UserInput(yes=True)
    desk.get()
    assert desk.record()[-1]["confirmed_by"] == "ana by --yes"


@pytest.mark.parametrize(
    ("wanted", "reason"), [(True, None), (r"[A-Z]+-\d+", None), (r"[A-Z]+-\d+", "because")]
)
def test_a_profile_with_require_reason_mints_only_with_a_matching_reason(
    desk, wanted: object, reason: str | None
) -> None:
    desk.profiles["dev"]["require_reason"] = wanted
    desk.said = UserInput(reason=reason)
    with pytest.raises(InteractionError, match="reason"):
        desk.get()
    desk.said = UserInput(reason="OPS-12: bucket locked")
    assert desk.get().access_key_id == "ASIA1"


def test_roles_with_one_device_prompt_once_for_an_mfa_code(desk) -> None:
    asked: list[Question] = []
    desk.profiles = {"a": {"role_arn": ROLE + "A", **MFA}, "b": {"role_arn": ROLE + "B", **MFA}}
    with pytest.raises(InteractionError, match="needs an MFA code, and no prompt is possible"):
        desk.get("a")
    desk.ask_code = lambda question: asked.append(question) or "123456"  # type: ignore[func-returns-value]
    desk.get("a")
    desk.get("b")
    assert [question.label for question in asked] == ["MFA code of 'arn:aws:iam::999988887777:mfa/me'"]
    assert asked[0].lines[-1] == "requested by terraform"
    minted = [(name.split(" of ")[0], code) for name, _, code in desk.aws.minted]
    assert minted == [("MFA session", "123456"), ("a", None), ("b", None)]


def test_a_configuration_error_is_raised_although_the_cache_has_a_session(desk) -> None:
    desk.get()
    desk.time.passes(3000)
    desk.aws.script.append(ConfigError("profiles form a loop"))
    with pytest.raises(ConfigError):
        desk.get()


def test_a_damaged_item_is_a_miss(desk) -> None:
    desk.get()
    for item, text in MemoryKeyring.items.items():
        MemoryKeyring.items[item] = text[:-1] + "!"
    assert desk.get().access_key_id == "ASIA2"


def test_a_session_minted_in_the_future_is_valid_by_the_wall_clock_only(desk) -> None:
    future = replace(desk.get(), minted=Clocks(EPOCH, 9_999_999.0, "first"), expiration=int(EPOCH) + 100)
    desk.store.put(desk.call().key, future, profile="dev", kind="role")
    desk.get()
    assert len(desk.aws.minted) == 2


@pytest.mark.parametrize(
    ("profile", "error", "need"),
    [
        ({}, OutOfTimeError, "profile 'dev' needs credentials from the default chain"),
        ({"source_key": "k"}, OutOfTimeError, "profile 'dev' needs a new session"),
        ({"mfa_session": False, "source_key": "k", **MFA}, NoPromptError, "profile 'dev' needs an MFA code"),
        ({"confirm": True}, NoPromptError, "profile 'dev' asks for your confirmation"),
    ],
    ids=["source", "STS", "MFA code", "confirmation"],
)
def test_a_wait_until_the_deadline_starts_nothing_and_is_named(
    desk, monkeypatch, profile: dict[str, Any], error: type[CredhelperError], need: str
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)

    class Busy(AgentClient):
        def ask(self, *_: Any) -> Lease:
            nonlocal now
            now += desk.seconds - 0.9
            return Lease()

    desk.profiles["dev"] |= profile
    desk.agent = lambda log: Busy(None, log, idle_seconds=900)  # type: ignore[method-assign]
    desk.ask_code = lambda _: pytest.fail("the user was asked")
    provider, started = desk.provider(), desk.time.read()
    desk.store.save_key("k", AccessKey("AKIAMINE", "s"))
    with pytest.raises(error) as caught:
        provider.get(desk.call())

    why = "but no time is left: credhelper waited 49 s for another caller's mint"
    assert caught.value.sentence == f"{need}, {why}"
    assert desk.aws.minted == []
    assert not desk.place.joinpath("state/audit.jsonl").exists()

    del desk.agent
    desk.said, desk.ask_code = UserInput(yes=True), lambda _: "123456"
    assert desk.get(started=started).access_key_id == "ASIA1"  # another caller that waited has time to mint
