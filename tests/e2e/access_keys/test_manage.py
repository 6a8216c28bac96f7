"""`credhelper key add`, `list` and `remove`."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import uuid
from pathlib import Path

import pytest

from credhelper.cache.index import Index, Item
from credhelper.cache.keyring import OsKeyring
from credhelper.cache.locks import FileLocks
from credhelper.cache.store import Store, successor
from credhelper.credentials import AccessKey
from credhelper.log import Log

import fake_keyrings
import requirements
from iam import ACCOUNT
from sandbox import Sandbox
from saved_keys import PROFILES, REMOVE, ROTATE, STRANGER
from secrets_scan import find_secret

AWS_CLI = Path("/usr/bin/aws")
PAIR = ("AKIAIOSFODNN7EXAMPLE", "SECRETwJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAM")


def test_key_on_stdin_is_saved_with_its_owner_and_signs_for_profiles(desk):
    output = desk.save(desk.key)
    assert output.startswith(f"saved 'ci': {desk.key.access_key_id} of {desk.arn}\n")
    assert 'source_key = "ci"' in output
    assert desk.get("deploy")["AccountId"] == "222233334444"
    assert [(call.action, call.access_key_id) for call in desk.iam.sts.calls] == [
        ("GetCallerIdentity", desk.key.access_key_id),
        ("AssumeRole", desk.key.access_key_id),
    ]
    desk.check_modes()


def test_output_of_the_aws_cli_is_accepted(desk):
    aws = str(AWS_CLI) if AWS_CLI.exists() else requirements.missing("AWS CLI v2")
    key = desk.key
    signer = {"AWS_ACCESS_KEY_ID": key.access_key_id, "AWS_SECRET_ACCESS_KEY": key.secret_access_key}
    made = subprocess.run(
        [aws, "--endpoint-url", desk.iam.url, "iam", "create-access-key", "--user-name", desk.user],
        env={**desk.environ, **signer, "AWS_REGION": "eu-west-1"},
        capture_output=True,
        check=True,
    ).stdout
    assert desk.feed(made, "key", "add", "ci").status == 0
    found = json.loads(made)["AccessKey"]
    assert desk.saved() == AccessKey(found["AccessKeyId"], found["SecretAccessKey"])


def test_with_the_id_as_a_flag_stdin_is_the_secret_alone(desk):
    flags = ("--no-check", "--access-key-id", desk.key.access_key_id)
    assert desk.feed(desk.key.secret_access_key, "key", "add", "ci", *flags).status == 0
    assert desk.saved() == desk.key


def test_terminal_prompts_for_the_key_and_hides_the_secret(desk):
    add = ("key", "add", "ci")
    status, shown = desk.talk(*add, answers={"access key id: ": "\x04"})
    assert (status, desk.listed()) == (5, [])
    assert "cancelled: a key is to be saved as 'ci'" in shown
    answers = {"access key id: ": desk.key.access_key_id, "secret access key: ": desk.key.secret_access_key}
    status, shown = desk.talk(*add, answers=answers)
    assert status == 0, shown
    assert "a key is to be saved as 'ci'" in shown
    assert desk.key.secret_access_key not in shown
    assert desk.saved() == desk.key


@pytest.mark.parametrize(
    ("content", "flags", "sentence"),
    [
        ("", [], "stdin is empty"),
        ("one line", [], "stdin holds no access key that can be read"),
        ("SECRETSECRETSECRET/\n{0}\n", [], "not an access key id"),
        ("{0}\nSECRET SECRET SECRET\n", [], "not a secret access key"),
        ("ASIA{0}\n{1}\n", [], "belongs to a session and expires: only long-lived keys are saved"),
        ("{0}\n{1}", ["--access-key-id", "AKIAANOTHERANOTHER"], "not 'AKIAANOTHERANOTHER'"),
        ("{0}\n{1}", ["{1}"], "a secret is never an argument"),
        ("{0}\n{1}", ["--secret-access-key={1}"], "no such option"),
    ],
)
def test_text_that_is_no_key_is_refused_without_quoting_a_secret(desk, content, flags, sentence):
    done = desk.feed(content.format(*PAIR), "key", "add", "ci", *(flag.format(*PAIR) for flag in flags))
    assert (done.status, desk.store().index.saved_keys()) == (2, [])
    assert sentence in done.stderr
    assert "SECRET" not in done.stderr


@pytest.mark.parametrize("name", ["a:next", "../a", "a\x1b[2J"])
def test_name_that_source_key_cannot_have_is_refused(desk, name):
    assert "cannot be the name of a saved key" in desk.add(desk.key, name=name).stderr


@pytest.mark.parametrize(
    ("case", "status", "sentence"),
    [
        ("secret", 3, "AWS does not accept this secret for '{0}'"),
        ("unknown", 3, "AWS does not know the access key 'AKIASTRANGERSTRANGER', or it is inactive"),
        ("inactive", 3, "AWS does not know the access key '{0}', or it is inactive"),
        ("unreachable", 6, "--no-check saves a key without asking AWS"),
        ("region", 2, "region 'eu west' is not the name of a region"),
    ],
)
def test_key_that_aws_does_not_accept_is_not_saved(desk, case, status, sentence):
    if case == "inactive":
        desk.iam.key(desk.key.access_key_id).status = "Inactive"
    given = {"secret": AccessKey(desk.key.access_key_id, "x" * 40), "unknown": STRANGER}.get(case, desk.key)
    environ = {"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9"} if case == "unreachable" else {}
    done = desk.add(given, *(["--region", "eu west"] if case == "region" else []), **environ)
    assert (done.status, desk.store().index.saved_keys(), desk.saved()) == (status, [], None)
    assert sentence.format(desk.key.access_key_id) in done.stderr


def test_no_check_asks_aws_nothing_and_shows_the_key_as_not_checked(desk):
    assert "not checked" in desk.save(STRANGER, "--no-check")
    assert (desk.iam.sts.calls, desk.iam.calls) == ([], [])
    assert (desk.listed()[0]["account"], desk.listed()[0]["arn"]) == (None, None)
    assert "not checked" in desk.succeeds("key", "list")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("ci", "a key is saved as 'ci' already: '{0}'"), ("CI", "cannot tell 'CI' from the saved key 'ci'")],
)
def test_name_in_use_is_refused_before_aws_is_asked(desk, saved, name, sentence):
    done = desk.add(STRANGER, name=name)
    assert sentence.format(saved.access_key_id) in done.stderr
    assert (desk.saved(), desk.iam.sts.calls) == (saved, [])


def test_force_replaces_the_key_and_ends_sessions_of_the_old_one(desk):
    desk.save(desk.key)
    other = desk.iam.user(f"{desk.user}-other")
    desk.settle()
    with desk.use_agent():
        before = desk.get("deploy")
        assert desk.get("deploy") == before
        output = desk.save(other, "--force")
        assert f"{desk.delete_command}\n" in output
        assert desk.saved() == other
        assert desk.get("deploy") != before
        assert desk.iam.sts.calls[-1].access_key_id == other.access_key_id
        assert [each["arn"] for each in desk.listed()] == [f"{desk.arn}-other"]


def test_missing_configuration_is_no_obstacle_but_a_broken_one_is(desk):
    desk.config.unlink()
    desk.save(desk.key)
    desk.configure("[defaults\n")
    assert desk.add(desk.key, "--force").status == 2
    assert desk.saved() == desk.key


def test_defaults_give_region_and_endpoint_and_the_flag_beats_them(desk):
    del desk.environ["AWS_ENDPOINT_URL_STS"]
    desk.configure(f'[defaults]\nregion = "eu-west-3"\nendpoint_url = "{desk.iam.sts.url}"\n')
    desk.save(desk.key)
    desk.save(desk.key, "--force", "--region", "cn-north-1")
    assert [call.region for call in desk.iam.sts.calls] == ["eu-west-3", "cn-north-1"]


def test_root_users_key_is_saved_with_a_warning(desk):
    desk.iam.key(desk.key.access_key_id).user_name = "x:root"
    assert "it is the root user's: no role can be assumed with it\n" in desk.save(desk.key)


def test_control_characters_of_sts_reach_neither_terminal_nor_index(desk):
    desk.iam.key(desk.key.access_key_id).user_name = f"{desk.user}\x85\u202e"
    assert desk.save(desk.key).isascii()
    assert desk.listed()[0]["arn"].endswith(r"\x85\u202e")


@pytest.mark.parametrize("case", ["none", "no bus", "locked", "stopped"])
def test_without_a_keyring_nothing_is_saved_elsewhere(desk, bare, case):
    if case == "stopped":
        Sandbox.configure(desk, PROFILES)
        desk.service.signal(signal.SIGSTOP)
        done, sandbox = desk.add(desk.key), desk
    elif case == "locked":
        with bare.secret_service(None):
            done, sandbox = bare.add(desk.key), bare
    else:
        environ = {"CREDHELPER_KEYRING": "none"} if case == "none" else {"DBUS_SESSION_BUS_ADDRESS": ""}
        done, sandbox = desk.add(desk.key, **environ), desk
    assert done.status == 1, done
    assert done.stderr.startswith("credhelper: error: the keyring cannot be used: ")
    assert "access keys are saved nowhere else" in done.stderr
    assert find_secret([sandbox.state, sandbox.runtime], desk.key.secret_access_key) == []


def test_without_an_index_the_keyring_stays_empty(desk):
    (desk.state / "items.jsonl").mkdir(parents=True)
    done = desk.add(desk.key)
    assert (done.status, desk.saved()) == (1, None)
    assert "items.jsonl' cannot be written" in done.stderr


def test_list_is_sorted_fits_80_columns_and_needs_no_keyring(desk):
    desk.save(STRANGER, "--no-check", name="zoo")
    desk.save(desk.key)
    status, shown = desk.on_a_terminal("key", "list", NO_COLOR="1")
    plain = desk.run("key", "list", CREDHELPER_KEYRING="none").stdout.decode()
    listed = desk.listed()
    assert status == 0
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown.splitlines()) <= 80
    assert re.search(
        rf"ci +{desk.key.access_key_id} +{ACCOUNT} +user/{desk.user} +20\d\d-\d\d-\d\d\nzoo +", plain
    )
    assert [each["name"] for each in listed] == ["ci", "zoo"]
    key = {"name": "ci", "access_key_id": desk.key.access_key_id, "account": ACCOUNT, "arn": desk.arn}
    assert listed[0] == {**key, "saved": listed[0]["saved"], "rotating": False}
    assert desk.key.secret_access_key not in shown + plain + json.dumps(listed)


def test_empty_list_names_the_command_that_adds_a_key(bare):
    assert "'credhelper key add NAME' saves one" in bare.succeeds("key", "list")
    assert bare.listed() == []


def test_clear_and_the_sweep_of_expired_sessions_keep_saved_keys(desk, saved):
    desk.store().index.add(Item("old", "deploy", "role", 5, 1))
    desk.get("deploy")
    assert [item.key for item in desk.store().items()] != ["old"]
    desk.succeeds("clear", "--all")
    assert (desk.saved(), desk.store().items()) == (saved, [])
    assert [each["name"] for each in desk.listed()] == ["ci"]


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 5), ("\x04", 5)])
def test_remove_prompts_with_the_profiles_that_use_the_key(desk, answer, status):
    desk.save(desk.key)
    ended, shown = desk.talk("key", "remove", "ci", answers={"remove it? [y/N] ": answer})
    assert ended == status
    assert f"{desk.key.access_key_id} of {desk.arn}" in shown
    assert "used by deploy" in shown
    assert (desk.saved() is None) is (status == 0)


def test_remove_prints_the_command_that_deletes_the_key_at_aws(desk):
    desk.save(desk.key)
    first, command = desk.succeeds(*REMOVE).splitlines()
    assert first.startswith("removed 'ci' from the keyring; AWS still has it")
    assert command == f"  {desk.delete_command}"
    assert (desk.saved(), desk.listed()) == (None, [])
    assert "saved key 'ci' is not in the OS keyring" in desk.refuses(3, "get", "deploy")
    assert "no key is saved as 'ci'" in desk.refuses(3, *REMOVE)


def test_remove_without_a_prompt_keeps_the_key(desk, saved):
    error = desk.refuses(5, "key", "remove", "ci", CREDHELPER_PROMPT="none")
    assert "--yes removes it without asking" in error
    assert desk.saved() == saved


@pytest.mark.parametrize("verb", [["remove", "--yes"], ["rotate"]])
def test_unknown_name_is_refused_with_the_nearest_one(desk, verb):
    desk.save(desk.key, "--no-check", name="deployment")
    assert "did you mean 'deployment'" in desk.refuses(3, "key", *verb, "deploymemt")


def test_remove_with_a_stopped_keyring_keeps_the_key_listed(desk, saved):
    Sandbox.configure(desk, PROFILES)
    desk.service.signal(signal.SIGSTOP)
    error = desk.refuses(1, *REMOVE)
    desk.service.signal(signal.SIGCONT)
    assert "the keyring cannot be used: " in error
    assert (desk.saved(), len(desk.listed())) == (saved, 1)


def test_remove_during_a_rotation_removes_and_names_both_keys(desk):
    desk.save(desk.key)
    desk.iam.lag = 1000
    desk.refuses(6, *ROTATE, "--wait", "0")
    output = desk.succeeds(*REMOVE)
    for each in desk.iam.keys(desk.user):
        assert f"--access-key-id {each} --user-name {desk.user}\n" in output
    assert (desk.saved(), desk.saved(successor("ci")), desk.listed()) == (None, None, [])
    assert desk.save(desk.key).startswith("saved")


@pytest.mark.parametrize(
    ("system", "backend"), [("windows", "Windows.WinVaultKeyring"), ("macos", "macOS.Keyring")]
)
def test_longest_key_fits_into_one_item_of_other_systems(tmp_path, system, backend):
    log = Log(str(tmp_path / "log"))
    index = Index(str(tmp_path / "items.jsonl"), FileLocks(None, log), log)
    name, longest, other = "n" * 128, AccessKey("A" * 128, "/" * 256), AccessKey("B" * 128, "+" * 256)
    with getattr(fake_keyrings, system)() as kept:
        store = Store(OsKeyring(f"keyring.backends.{backend}", {}), index, log)
        for key in (longest, other):
            store.save_key(name, key)
            assert store.saved_key(name) == key
        store.save_key(successor(name), longest)
        store.delete_key(name)
        assert store.saved_key(name) == longest
        store.delete_key(successor(name))
        assert store.saved_key(name) is None
        assert not (kept.credentials if system == "windows" else kept.items)


def test_secret_is_nowhere_but_in_the_keyring(desk):
    marker = f"MARKER{uuid.uuid4().hex}"
    key = AccessKey(desk.key.access_key_id, marker)
    desk.iam.key(key.access_key_id).secret_access_key = marker
    (desk.home / "tmp").mkdir()
    desk.environ |= {"CREDHELPER_LOG": "debug", "TMPDIR": str(desk.home / "tmp")}
    outputs = [desk.save(key), desk.save(key, "--force"), desk.succeeds("key", "list"), str(desk.listed())]
    answers = {"access key id: ": key.access_key_id, "secret access key: ": marker}
    outputs += [desk.talk("key", "add", "typed", answers=answers)[1], str(desk.add(key))]
    outputs += [str(desk.add(AccessKey(key.access_key_id, f"{marker}x"), name="wrong"))]
    desk.iam.faults["UpdateAccessKey"] = ["AccessDenied"]
    outputs += [desk.refuses(4, *ROTATE)]
    made = desk.saved()
    assert made is not None
    for secret in (marker, made.secret_access_key):
        assert find_secret([desk.home, "/dev/shm"], secret) == []
    outputs += [desk.succeeds(*ROTATE), desk.succeeds(*REMOVE)]
    assert not any(secret in text for text in outputs for secret in (marker, made.secret_access_key))
    desk.check_modes()
