"""What has to be said before a mint, how long it holds, and what is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from credhelper import expiry
from credhelper.cache.locks import Locks
from credhelper.config.profiles import Config, Profile
from credhelper.config.settings import Setting
from credhelper.errors import HumanNeededError, NobodyError
from credhelper.log import Log
from credhelper.prompts import Answer, Question
from credhelper.sessions import questions, series
from credhelper.sessions.calls import Endpoint, StsCall
from credhelper.sessions.consent import Asking, Consent, UserInput
from credhelper.sessions.sources import CredentialSource

from desk import Time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NOTHING = UserInput()
ROOT = {"target_principal": "111122223333", "task_policy_arn": "S3UnlockBucketPolicy"}


class Desk:
    """Consent for one profile, a clock, and somebody who answers."""

    def __init__(self, place: Path, time: Time) -> None:
        self.time = time
        self.locks = Locks(str(place), Log(str(place / "log")))
        self.asked: list[Question] = []
        self.answer = "yes"

    def profile(self, **keys: Any) -> Profile:
        return Config("config.toml", "", {"profiles": {"root": {**ROOT, **keys}}}).profile("root")

    def call(self, profile: Profile, parameters: Mapping[str, Any] = {}) -> StsCall:
        origin = CredentialSource("environment", "x", "identity")
        return StsCall(profile, parameters, origin, Endpoint("eu-west-1"), (("config.toml", profile.name),))

    def ask(self, question: Question, _call: StsCall | None) -> Answer:
        self.asked.append(question)
        return Answer(self.answer, "tty")

    def consent(self, said: UserInput = NOTHING, *, somebody: bool = True) -> Consent:
        return Consent(said, self.locks, "ana", Asking(self.ask, lambda: "terraform") if somebody else None)

    def permit(self, profile: Profile, said: UserInput = NOTHING, *, somebody: bool = True) -> Any:
        return self.consent(said, somebody=somebody).permit(self.call(profile), lambda: 0)


@pytest.fixture(name="desk")
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    time = Time()
    monkeypatch.setattr(expiry, "read_clocks", time.read)
    return Desk(tmp_path, time)


class TestYes:
    """`confirm` and `confirm_for`."""

    @pytest.mark.parametrize(
        ("keys", "lasts"), [({}, 900), ({"confirm_for": 60}, 60), ({"confirm_for": 0}, 0)]
    )
    def test_a_yes_lasts(self, desk: Desk, keys: dict[str, int], lasts: int) -> None:
        """900 s, or confirm_for."""
        profile = desk.profile(confirm=True, **keys)
        assert desk.permit(profile).confirmed_by == "ana by tty"
        if lasts:
            desk.time.passes(lasts - 1)
            assert desk.permit(profile, somebody=False).confirmed_by == "ana by tty"
        desk.time.passes(1)
        with pytest.raises(NobodyError):
            desk.permit(profile, somebody=False)

    def test_login_asks_although_a_yes_lasts(self, desk: Desk) -> None:
        """Whoever logs in gets all of confirm_for."""
        profile = desk.profile(confirm=True)
        desk.permit(profile)
        desk.time.passes(800)
        desk.permit(profile, UserInput(login=True))
        desk.time.passes(800)
        desk.permit(profile, somebody=False)

        assert len(desk.asked) == 2

    def test_a_clock_that_is_set_back_is_no_yes(self, desk: Desk) -> None:
        """Without a clock since boot, a yes from the future does not count."""
        profile = desk.profile(confirm=True)
        desk.time.boot = None
        desk.permit(profile)
        desk.time.wall -= 10

        with pytest.raises(NobodyError):
            desk.permit(profile, somebody=False)


class TestReason:
    """`require_reason`."""

    def test_it_holds_as_long_as_the_session_renews_itself(self, desk: Desk) -> None:
        """And no longer than PAUSE after that."""
        profile = desk.profile(require_reason=True, renew_for=2592000)
        desk.answer = "OPS-12"
        for _ in range(50):
            assert desk.permit(profile).reason == "OPS-12"
            desk.time.passes(1000)
        assert len(desk.asked) == 1
        desk.time.passes(2592000)

        with pytest.raises(NobodyError):
            desk.permit(profile, somebody=False)

    def test_one_that_does_not_match_is_the_callers_own(self, desk: Desk) -> None:
        """Nobody is asked in its place."""
        with pytest.raises(HumanNeededError, match="does not match"):
            desk.permit(desk.profile(require_reason="[A-Z]+-[0-9]+"), UserInput(reason="because"))

        assert not desk.asked


class TestRenewal:
    """`renew_for`."""

    def test_a_root_session_renews_itself_for_an_hour(self, desk: Desk) -> None:
        """Then nobody else than a person can let it go on."""
        profile = desk.profile()
        for _ in range(7):
            desk.permit(profile, somebody=False)
            desk.time.passes(600)

        with pytest.raises(NobodyError, match="renewing itself for 70 min"):
            desk.permit(profile, somebody=False)
        desk.permit(profile)
        desk.time.passes(3500)
        desk.permit(profile, somebody=False)

    def test_going_on_asking_does_not_wear_it_out(self, desk: Desk) -> None:
        """A program that tries for a day is refused for a day."""
        profile = desk.profile()
        for _ in range(3):
            desk.permit(profile, somebody=False)
            desk.time.passes(1201)
        for _ in range(48):
            with pytest.raises(NobodyError):
                desk.permit(profile, somebody=False)
            desk.time.passes(1800)

    def test_a_pause_ends_it(self, desk: Desk) -> None:
        """An hour in which nobody wanted a session: the next one begins afresh."""
        profile = desk.profile()
        desk.permit(profile, somebody=False)
        desk.time.passes(7300)
        desk.permit(profile, somebody=False)

        assert not desk.asked

    def test_a_role_renews_itself_for_ever(self, desk: Desk) -> None:
        """Unless the profile says otherwise; and nothing is kept for it."""
        config = {"profiles": {"dev": {"role_arn": "arn:aws:iam::222233334444:role/Dev"}}}
        profile = Config("config.toml", "", config).profile("dev")
        desk.permit(profile, somebody=False)

        assert series.under_way(desk.locks, profile) is None

    def test_yes_on_the_command_line_is_no_login(self, desk: Desk) -> None:
        """A script may say --yes for ever, and the session does not."""
        profile = desk.profile(confirm=True)
        for _ in range(3):
            desk.permit(profile, UserInput(yes=True), somebody=False)
            desk.time.passes(1201)

        with pytest.raises(NobodyError):
            desk.permit(profile, UserInput(yes=True), somebody=False)


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "[1, 2, 3, 4, 5]", '[[1,2,3],"x",null,null,null,1,2,"x"]', "[" * 9999]
)
def test_a_damaged_note_is_none(desk: Desk, content: str) -> None:
    """It costs a question."""
    profile = desk.profile(confirm=True)
    desk.permit(profile)
    path = desk.locks._path(series._name(profile), "note")
    with open(path, "w") as file:
        file.write(content)

    with pytest.raises(NobodyError):
        desk.permit(profile, somebody=False)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (900, "15 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (9000, "2.5 h"),
    ],
)
def test_spans(seconds: float, said: str) -> None:
    """As people say them."""
    assert questions.spell(seconds) == said


def test_what_a_question_says(desk: Desk) -> None:
    """Profile, account with its name, task in words, who asks, how many wait, for how long."""
    tables = {
        "accounts": {"payments": "111122223333"},
        "profiles": {"root": {**ROOT, "target_principal": "payments"}},
    }
    profile = Config("config.toml", "", tables).profile("root")
    policy = {"TaskPolicyArn": {"arn": "arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"}}
    question = questions.confirm(desk.call(profile, policy), "terraform", 3, 900)

    assert question.title == "profile 'root' asks for your confirmation"
    assert question.lines == (
        "root of account payments (111122223333)",
        "task: delete a bucket policy that denies everyone access",
        "asked by terraform",
        "3 more wait for the answer",
        "a yes lasts 15 min",
    )
    assert question.hint == "run 'credhelper login root'"


def test_a_setting_of_a_profile_makes_another_series(desk: Desk) -> None:
    """Whatever changes, the yes was to something else."""
    profile = desk.profile(confirm=True)
    others = [
        desk.profile(confirm=True, **{key: value}) for key, value in (("description", "x"), ("renew_for", 60))
    ]
    elsewhere = Profile(
        "root", "root", {**profile.settings, "region": Setting("eu-west-1", "defaults")}, "111122223333"
    )

    assert len({series._name(each) for each in (profile, elsewhere, *others)}) == 4
