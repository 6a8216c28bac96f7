"""Approvals: what a mint needs, how long it holds, and the texts of prompts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from credhelper import expiry
from credhelper.cache.locks import FileLocks
from credhelper.config.profiles import Config, Profile
from credhelper.config.settings import Setting
from credhelper.deadline import Deadline
from credhelper.errors import InteractionError, NoPromptError
from credhelper.log import Log
from credhelper.prompts import Answer, Question
from credhelper.sessions import consent, questions
from credhelper.sessions.caller import CallerContext
from credhelper.sessions.calls import Endpoint, StsCall
from credhelper.sessions.consent import Consent, UserInput
from credhelper.sessions.prompter import Prompter
from credhelper.sessions.sources import CredentialSource

from desk import Time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ROOT = {"target_principal": "111122223333", "task_policy_arn": "S3UnlockBucketPolicy"}
NOTHING, YES = UserInput(), UserInput(yes=True)


def profile(**keys: Any) -> Profile:
    return Config("config.toml", "", {"profiles": {"root": {**ROOT, **keys}}}).profile("root")


def call_of(profile: Profile, parameters: Mapping[str, Any] = {}) -> StsCall:
    origin = CredentialSource("environment", "x", "identity")
    return StsCall(profile, parameters, origin, Endpoint("eu-west-1"), (("config.toml", profile.name),))


class Desk:
    """Consent for profiles, a clock, and a user who answers."""

    def __init__(self, place: Path, time: Time) -> None:
        self.time = time
        self.locks = FileLocks(str(place), Log(str(place / "log")))
        self.asked: list[Question] = []
        self.answer = "yes"

    def ask(self, question: Question, _call: StsCall | None = None) -> Answer:
        self.asked.append(question)
        return Answer(self.answer, "tty")

    def permit(self, profile: Profile, given: UserInput = NOTHING, *, prompts: bool = True) -> Any:
        return Consent(given, self.locks, "ana", self if prompts else None).permit(call_of(profile))

    def needs_the_user(self, profile: Profile, given: UserInput = NOTHING, said: str | None = None) -> None:
        with pytest.raises(NoPromptError, match=said):
            self.permit(profile, given, prompts=False)


@pytest.fixture(name="desk")
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    time = Time()
    monkeypatch.setattr(expiry, "read_clocks", time.read)
    return Desk(tmp_path, time)


@pytest.mark.parametrize(("keys", "lasts"), [({}, 900), ({"confirm_for": 60}, 60), ({"confirm_for": 0}, 0)])
def test_a_confirmation_is_valid_for_its_time(desk, keys: dict[str, int], lasts: int) -> None:
    confirmed = profile(confirm=True, **keys)
    assert desk.permit(confirmed).confirmed_by == "ana by tty"
    if lasts:
        desk.time.passes(lasts - 1)
        assert desk.permit(confirmed, prompts=False).confirmed_by == "ana by tty"
    desk.time.passes(1)
    desk.needs_the_user(confirmed)


def test_login_prompts_although_a_confirmation_is_valid(desk) -> None:
    for given, prompts in ((NOTHING, True), (UserInput(login=True), True), (NOTHING, False)):
        desk.permit(profile(confirm=True), given, prompts=prompts)
        desk.time.passes(800)
    assert len(desk.asked) == 2


@pytest.mark.parametrize("reboot", [False, True])
def test_a_confirmation_of_the_future_does_not_count(desk, reboot: bool) -> None:
    confirmed = profile(confirm=True)
    desk.time.boot = desk.time.boot if reboot else None
    desk.permit(confirmed)
    if reboot:  # the time since boot shows the state to be recent, but not the confirmation
        desk.time.boot, desk.time.boot_id = 10.0, "second"
        desk.permit(confirmed, prompts=False)
    desk.time.wall -= 1000
    desk.needs_the_user(confirmed)


def test_a_reason_holds_while_the_session_renews_itself(desk) -> None:
    reasoned = profile(require_reason=True, renew_for=2592000)
    desk.answer = "OPS-12"
    for _ in range(50):
        assert desk.permit(reasoned).reason == "OPS-12"
        desk.time.passes(1000)
    assert len(desk.asked) == 1
    desk.time.passes(2592000)
    desk.needs_the_user(reasoned)


def test_a_given_reason_that_does_not_match_is_an_error_without_a_prompt(desk) -> None:
    with pytest.raises(InteractionError, match="does not match"):
        desk.permit(profile(require_reason="[A-Z]+-[0-9]+"), UserInput(reason="because"))
    assert not desk.asked


def test_a_root_session_renews_itself_for_an_hour_and_then_needs_the_user(desk) -> None:
    for _ in range(7):
        desk.permit(profile(), prompts=False)
        desk.time.passes(600)
    desk.needs_the_user(profile(), said="renewing itself for 70 min")
    desk.permit(profile())
    desk.time.passes(3500)
    desk.permit(profile(), prompts=False)


@pytest.mark.parametrize(
    ("keys", "given", "more"), [({}, NOTHING, 48), ({"confirm": True}, YES, 1)], ids=["bare", "--yes"]
)
def test_neither_asking_again_nor_yes_extends_the_renewals(
    desk, keys: dict[str, bool], given: UserInput, more: int
) -> None:
    for _ in range(3):
        desk.permit(profile(**keys), given, prompts=False)
        desk.time.passes(1201)
    for _ in range(more):
        desk.needs_the_user(profile(**keys), given)
        desk.time.passes(1800)


def test_after_a_pause_the_renewals_begin_anew(desk) -> None:
    for _ in range(2):
        desk.permit(profile(), prompts=False)
        desk.time.passes(7300)


def test_a_role_renews_itself_without_a_limit_and_nothing_is_stored(desk) -> None:
    config = {"profiles": {"dev": {"role_arn": "arn:aws:iam::222233334444:role/Dev"}}}
    role = Config("config.toml", "", config).profile("dev")
    desk.permit(role, prompts=False)
    assert consent.read_state(desk.locks, role) is None


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "[1, 2, 3, 4, 5]", '[[1,2,3],"x",null,null,null,1,2,"x"]', "[" * 9999]
)
def test_a_damaged_state_costs_a_prompt(desk, content: str) -> None:
    confirmed = profile(confirm=True)
    desk.permit(confirmed)
    with open(desk.locks.states._path(consent._name(confirmed), "note"), "w") as file:
        file.write(content)
    desk.needs_the_user(confirmed)


DURATIONS = {0: "0 s", 119: "119 s", 120: "2 min", 900: "15 min", 7199: "120 min", 7200: "2 h", 9000: "2.5 h"}


@pytest.mark.parametrize("seconds", DURATIONS)
def test_a_duration_is_told_in_its_unit(seconds: float) -> None:
    assert questions.spell(seconds) == DURATIONS[int(seconds)]


def test_a_prompt_names_profile_account_task_and_validity() -> None:
    profiles = {"root": {**ROOT, "target_principal": "payments"}}
    config = Config("config.toml", "", {"accounts": {"payments": "111122223333"}, "profiles": profiles})
    policy = {"TaskPolicyArn": {"arn": "arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"}}
    question = questions.confirm(call_of(config.profile("root"), policy), 900)
    assert question.title == "profile 'root' asks for your confirmation"
    assert question.lines == (
        "root of account payments (111122223333)",
        "task: delete a bucket policy that denies all access",
        "your confirmation is valid for 15 min",
    )
    assert question.hint == "run 'credhelper login root'"


@pytest.mark.parametrize(
    ("program", "waiting", "lines"),
    [
        ("terraform", 0, ["requested by terraform"]),
        ("", 1, ["1 more caller waits for this"]),
        ("aws", 3, ["requested by aws", "3 more callers wait for this"]),
    ],
)
def test_a_prompt_names_the_requester_and_counts_waiting_callers(
    desk, monkeypatch, program: str, waiting: int, lines: list[str]
) -> None:
    monkeypatch.setattr("credhelper.sessions.caller.asking_program", lambda: (program, 1))
    monkeypatch.setattr("credhelper.prompts.ask", lambda question, **_: desk.ask(question))
    context = CallerContext({}, Log(""), Deadline(50), desk.time.read())
    call = call_of(profile(confirm=True))
    prompter = Prompter(context, desk.locks, SimpleNamespace(asking=lambda: waiting))
    prompter.ask(questions.renewal(call, 60), call)
    assert [*desk.asked[0].lines] == ["root of account 111122223333", *lines]


def test_every_edit_of_a_profile_needs_new_approvals() -> None:
    first = profile(confirm=True)
    others = [profile(confirm=True, description="x"), profile(confirm=True, renew_for=60)]
    settings = {**first.settings, "region": Setting("eu-west-1", "defaults")}
    elsewhere = Profile("root", "root", settings, "111122223333")
    assert len({consent._name(each) for each in (first, elsewhere, *others)}) == 4
