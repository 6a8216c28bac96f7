"""`credhelper key rotate`: at every moment, the saved key works."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from functools import partial

import pytest
from moto.iam.models import AccessKeyLastUsed

from credhelper.cache.index import Rotation
from credhelper.cache.store import successor

import rotating
from iam import ACCOUNT, LOST, backend
from sandbox import Sandbox, until
from saved_keys import PROFILES, REMOVE, ROTATE

pytestmark = pytest.mark.usefixtures("saved")
DEVICE = f"arn:aws:iam::{ACCOUNT}:mfa/me"


def rotated(desk, *flags):
    """The key after a rotation that succeeds."""
    desk.succeeds(*ROTATE, *flags)
    return desk.check_sound()


def test_new_key_deletes_the_old_one_after_it_has_proven_to_work(desk):
    output = desk.succeeds(*ROTATE)
    new = desk.check_sound()
    assert output.startswith(f"rotated 'ci': {new.access_key_id} has replaced {desk.key.access_key_id}")
    assert desk.iam.calls == [
        ("ListAccessKeys", desk.key.access_key_id),
        ("CreateAccessKey", desk.key.access_key_id),
        ("UpdateAccessKey", new.access_key_id),
        ("DeleteAccessKey", new.access_key_id),
    ]
    assert desk.listed()[0]["arn"] == f"arn:aws:iam::{ACCOUNT}:user/{desk.user}"
    assert desk.get("deploy")["AccountId"] == "222233334444"
    assert desk.iam.sts.calls[-1].access_key_id == new.access_key_id
    desk.check_modes()


def test_killed_after_any_step_the_saved_key_works_and_the_next_run_finishes(desk):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    runs = subprocess.Popen([sys.executable, rotating.__file__, "ci"], env=desk.environ, text=True, **pipes)  # type: ignore[call-overload]

    def run(step):
        runs.stdin.write(f"{step}\n")
        runs.stdin.flush()
        ran = json.loads(runs.stdout.readline())
        return ran["steps"], ran["status"]

    assert run(0) == ([*rotating.STEPS], 0)
    for step in range(1, len(rotating.STEPS) + 1):
        done = rotating.STEPS[:step]
        assert run(step) == ([*done], -signal.SIGKILL)
        assert desk.iam.works(desk.saved()), done
        assert desk.iam.works(desk.store().read_key("ci")), done
        assert run(0)[1] == 0, done
        desk.check_sound()
    assert runs.communicate() == ("", "")


def test_killed_while_macos_deletes_and_adds_the_item_the_successor_serves(desk):
    desk.iam.faults["UpdateAccessKey"] = ["AccessDenied"]
    desk.refuses(4, *ROTATE)
    desk.store().delete_key("ci")
    assert desk.iam.works(desk.saved())
    assert desk.get("deploy")
    assert "finished the rotation" in desk.succeeds(*ROTATE)
    assert desk.iam.works(desk.store().read_key("ci"))
    desk.check_sound()


def test_aws_that_is_slow_to_know_the_key_is_asked_again(desk):
    desk.iam.lag = 2
    rotated(desk)


def test_aws_that_is_too_slow_keeps_the_old_key_and_the_next_run_takes_the_new_one(desk):
    desk.iam.lag = 2
    error = desk.refuses(6, *ROTATE, "--wait", "0")
    assert "the new key of 'ci' does not work yet: AWS does not know the access key 'AKIA" in error
    assert f"'ci' is still '{desk.key.access_key_id}', which works; run the same command again" in error
    assert desk.saved() == desk.key
    unfinished = "the rotation of 'ci' is not finished: run 'credhelper key rotate ci'"
    assert unfinished in desk.succeeds("key", "list")
    assert desk.listed()[0]["rotating"] is True
    assert "the rotation of the saved key 'ci' is not finished" in desk.add(desk.key, "--force").stderr
    made = {*desk.iam.keys(desk.user)} - {desk.key.access_key_id}
    assert "finished the rotation of 'ci'" in desk.succeeds(*ROTATE)
    assert {desk.check_sound().access_key_id} == made


@pytest.mark.parametrize(
    ("action", "state"),
    [
        ("ListAccessKeys", "'ci' is '{0}'"),
        ("CreateAccessKey", "'ci' is still '{0}'"),
        ("UpdateAccessKey", "'ci' is '{0}' and works"),
        ("DeleteAccessKey", "'ci' is '{0}' and works"),
    ],
)
def test_refusal_of_iam_names_the_saved_key_and_the_next_run_finishes(desk, action, state):
    switched = "works" in state
    desk.iam.faults[action] = ["AccessDenied"]
    error = desk.refuses(4, *ROTATE)
    now = desk.saved()
    assert now is not None
    assert desk.iam.works(now)
    assert (now != desk.key) is switched
    assert bool(desk.store().index.rotations()) is switched
    for text in (f"AWS refused 'iam:{action}' (AccessDenied): ", state, "--mfa-serial ARN"):
        assert text.format(now.access_key_id) in error
    rotated(desk)


@pytest.mark.parametrize("action", ["CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey"])
def test_lost_answer_is_made_up_for_by_a_retry_or_the_next_run(desk, action):
    desk.iam.faults[action] = [LOST]
    done = desk.run(*ROTATE)
    assert (done.status == 0) is (action != "CreateAccessKey"), done.stderr
    assert desk.iam.works(desk.saved())
    rotated(desk)


def test_second_key_of_the_user_stops_the_rotation_before_it_begins(desk):
    other = desk.iam.make_key(desk.user).access_key_id
    error = desk.refuses(4, *ROTATE)
    assert f"user '{desk.user}' has another access key, '{other}', and AWS allows no third one" in error
    for command in ("get-access-key-last-used", "delete-access-key"):
        assert f"aws iam {command} --access-key-id {other}" in error
    assert (desk.saved(), len(desk.iam.keys(desk.user)), desk.listed()[0]["rotating"]) == (desk.key, 2, False)


@pytest.mark.parametrize("reason", ["used", "made later"])
def test_key_that_no_lost_answer_explains_is_not_deleted(desk, reason):
    desk.iam.faults["CreateAccessKey"] = ["ServiceUnavailable"]
    desk.store().index.add(Rotation("ci", desk.key.access_key_id, int(time.time())))
    other = desk.iam.key(desk.iam.make_key(desk.user).access_key_id)
    if reason == "used":
        other.last_used = AccessKeyLastUsed(datetime.now(timezone.utc), "s3", "eu-west-1")
    else:
        other.create_date += timedelta(minutes=2)
    assert f"another access key, '{other.access_key_id}'" in desk.refuses(4, *ROTATE)
    assert len(desk.iam.keys(desk.user)) == 2


def test_lost_key_is_found_by_its_date_without_permission_to_see_its_use(desk):
    desk.iam.faults["CreateAccessKey"] = [LOST]
    desk.refuses(4, *ROTATE)
    desk.iam.faults["GetAccessKeyLastUsed"] = ["AccessDenied"]
    rotated(desk)


@pytest.mark.parametrize("change", ["deactivated", "deleted"])
def test_waiting_key_that_is_gone_is_replaced_by_another_one(desk, change):
    desk.iam.lag = 100
    desk.refuses(6, *ROTATE, "--wait", "0")
    waiting = desk.saved(successor("ci"))
    assert waiting is not None
    if change == "deleted":
        backend().delete_access_key(waiting.access_key_id, desk.user)
    else:
        desk.iam.key(waiting.access_key_id).status = "Inactive"
    desk.iam.lag = 0
    assert rotated(desk, "--wait", "0.3") != waiting


def test_deleted_old_key_stops_a_new_rotation_but_not_an_unfinished_one(desk):
    desk.iam.lag = 1
    desk.refuses(6, *ROTATE, "--wait", "0")
    backend().delete_access_key(desk.key.access_key_id, desk.user)
    new = rotated(desk)
    backend().delete_access_key(new.access_key_id, desk.user)
    error = desk.refuses(3, *ROTATE)
    assert "AWS does not know the access key that signed 'iam:ListAccessKeys'" in error
    assert desk.saved() == new


def test_key_that_the_keyring_does_not_take_is_deleted_at_once(desk):
    Sandbox.configure(desk, PROFILES)
    desk.iam.faults["CreateAccessKey"] = [partial(desk.service.signal, signal.SIGSTOP)]
    error = desk.refuses(1, *ROTATE)
    desk.service.signal(signal.SIGCONT)
    assert "the keyring cannot be used: " in error
    assert desk.iam.keys(desk.user) == {desk.key.access_key_id: "Active"}
    rotated(desk)


def test_second_command_on_the_same_key_is_refused(desk):
    go_on = threading.Event()
    desk.iam.faults["CreateAccessKey"] = [go_on.wait]
    first = desk.start(*ROTATE)
    until(lambda: len(desk.iam.calls) > 1)
    for command in (ROTATE, REMOVE):
        assert "another 'credhelper key' is changing 'ci'" in desk.refuses(1, *command)
    go_on.set()
    assert desk.finish(first).status == 0
    desk.check_sound()


def test_mfa_serial_signs_with_a_session_whose_code_is_asked_once_a_run(desk):
    desk.iam.demands_mfa = True
    codes = iter(["111111", "222222"])
    desk.iam.sts.mfa_codes[DEVICE] = lambda code: code == next(codes)
    rotate, question = (*ROTATE, "--mfa-serial", DEVICE), f"MFA code of '{DEVICE}': "
    assert "where a policy demands MFA for this, add --mfa-serial ARN" in desk.refuses(4, *ROTATE)
    assert "run this command on a terminal" in desk.refuses(5, *rotate, CREDHELPER_PROMPT="none")
    desk.iam.faults["DeleteAccessKey"] = ["AccessDenied"]
    assert desk.talk(*rotate, answers={question: "111111"})[0] == 4
    assert desk.iam.works(desk.saved())
    assert desk.talk(*rotate, answers={question: "222222"})[0] == 0
    desk.check_sound()
    assert "'--mfa-serial' " in desk.refuses(2, *ROTATE, "--mfa-serial", "me")


def test_call_whose_key_was_rotated_meanwhile_is_signed_by_the_new_one(desk):
    new = desk.iam.make_key(desk.user)

    def rotate_meanwhile():
        desk.store().save_key("ci", new)
        desk.iam.key(desk.key.access_key_id).status = "Inactive"

    desk.iam.on_use[desk.key.access_key_id] = rotate_meanwhile
    desk.get("deploy")
    assert desk.iam.sts.calls[-1].access_key_id == new.access_key_id
    desk.iam.key(new.access_key_id).status = "Inactive"
    assert "saved key 'ci'" in desk.refuses(3, "get", "deploy", "--no-cache")


def test_without_index_or_keyring_no_key_is_made(desk):
    assert "the keyring cannot be used" in desk.refuses(1, *ROTATE, CREDHELPER_KEYRING="none")
    assert desk.iam.calls == []
    (desk.state / "items.jsonl").unlink()
    (desk.state / "items.jsonl").mkdir()
    assert "items.jsonl' cannot be written" in desk.refuses(1, *ROTATE)
    assert desk.iam.keys(desk.user) == {desk.key.access_key_id: "Active"}
