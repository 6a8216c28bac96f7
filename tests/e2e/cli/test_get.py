"""`credhelper get`, the real program over a real Secret Service and a loopback STS."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sts_faults as faults
from sandbox import PROFILES, PROGRAM, Sandbox

if TYPE_CHECKING:
    from sandbox import SecretService
    from sts import LoopbackSts

ROLE = "arn:aws:iam::222233334444:role/Developer"
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


def test_root_session_is_the_envelope_that_sdks_read(sandbox: Sandbox, sts: LoopbackSts) -> None:
    assert sandbox.get("unlock-bucket") == {"Version": 1, "AccountId": "111122223333", **sts.issued[-1]}
    assert sts.calls[-1].parameters == {
        "TargetPrincipal": "111122223333",
        "TaskPolicyArn": {"arn": "arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"},
        "DurationSeconds": 900,
    }


def test_alias_and_id_of_a_target_share_a_session(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    by_alias = sandbox.get("audit-root@payments-prod")

    assert sandbox.get("audit-root@111122223333") == by_alias
    assert sandbox.get("audit-root@222233334444")["AccountId"] == "222233334444"
    assert sts.count("AssumeRoot") == 2


def test_edited_role_is_minted_anew(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    old = sandbox.get("developer")
    sandbox.configure(PROFILES.replace("role/Developer", "role/Auditor"))
    new = sandbox.get("developer")

    assert new["AccessKeyId"] != old["AccessKeyId"]
    assert sts.calls[-1].parameters["RoleArn"].endswith("role/Auditor")


def test_session_token_of_200_kb_is_cached_whole(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    sts.token_size = 200_000
    minted = sandbox.get("developer")

    assert len(minted["SessionToken"]) == 200_000
    assert sandbox.get("developer") == minted
    assert sts.count() == 1
    sandbox.check_modes()


def test_forty_cold_callers_mint_once(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    callers = [sandbox.start("get", "developer") for _ in range(40)]
    keys = {sandbox.finish(caller).envelope["AccessKeyId"] for caller in callers}

    assert (len(keys), sts.count()) == (1, 1)


@pytest.mark.parametrize("keyring", ["auto", "none"])
def test_forty_callers_of_a_refused_mint_get_the_same_error(
    sandbox: Sandbox, sts: LoopbackSts, secret_service, keyring: str
) -> None:
    sts.mode = faults.refuse("AccessDenied", "no")
    callers = [sandbox.start("get", "developer", CREDHELPER_KEYRING=keyring) for _ in range(40)]
    results = [sandbox.finish(caller) for caller in callers]

    assert {(result.status, result.stderr) for result in results} == {(4, results[0].stderr)}
    assert sts.count() == 1


def test_no_cache_leaves_the_cache_alone_and_refresh_replaces_it(
    sandbox: Sandbox, sts: LoopbackSts, secret_service
) -> None:
    cached = sandbox.get("developer")
    sandbox.get("developer", "--no-cache")
    assert sts.count() == 2
    assert sandbox.get("developer") == cached

    refreshed = sandbox.get("developer", "--refresh")
    assert sts.count() == 3
    assert sandbox.get("developer") == refreshed != cached


@pytest.mark.parametrize("cache", ['"memory"', "false"])
def test_session_with_cache_off_or_memory_is_not_in_the_keyring(
    sandbox: Sandbox, sts: LoopbackSts, secret_service, cache: str
) -> None:
    sandbox.configure(PROFILES + f"cache = {cache}\n")
    assert sandbox.get("developer") != sandbox.get("developer")
    assert sts.count() == 2
    assert not (sandbox.state / "items.jsonl").exists()


def test_flag_overrides_the_file(sandbox: Sandbox, sts: LoopbackSts) -> None:
    sandbox.get(
        "developer",
        *("--role-arn", ROLE + "2", "--duration-seconds", "1800", "--external-id", "x-1"),
        *("--tags", "team=a", "--tags", "cost=b=c", "--policy-arns", READ_ONLY),
    )

    assert sts.calls[-1].parameters == {
        "RoleArn": ROLE + "2",
        "RoleSessionName": sts.calls[-1].parameters["RoleSessionName"],
        "DurationSeconds": 1800,
        "ExternalId": "x-1",
        "Tags": [{"Key": "team", "Value": "a"}, {"Key": "cost", "Value": "b=c"}],
        "PolicyArns": [{"arn": READ_ONLY}],
    }


def test_reason_flag_overrides_the_variable_and_the_session_name_is_user_at_host(
    sandbox: Sandbox, sts: LoopbackSts
) -> None:
    sandbox.get("developer", "--reason", "ticket 1", CREDHELPER_REASON="ticket 2")
    sandbox.get("developer", CREDHELPER_REASON="ticket 2")

    assert [line["reason"] for line in sandbox.audit()] == ["ticket 1", "ticket 2"]
    user, host = sts.calls[-1].parameters["RoleSessionName"].split("@")
    assert (user, host) == (pwd.getpwuid(os.geteuid()).pw_name, os.uname().nodename.split(".")[0])


def test_no_keyring_mints_each_time_and_logs_it(sandbox: Sandbox, sts: LoopbackSts) -> None:
    sandbox.get("developer")
    sandbox.get("developer")

    assert sts.count() == 2
    assert "not cached" in sandbox.log()


def test_failed_refresh_gives_the_cached_session(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    sts.mode = faults.expires_in(300)
    sandbox.configure(PROFILES + "min_remaining = 43200\nduration_seconds = 900\n")
    cached = sandbox.get("developer")
    sts.mode = faults.status_xml(503)
    time.sleep(0.1)

    assert sandbox.get("developer", "--refresh") == cached
    assert "served from the cache because" in sandbox.log()


def test_terminal_needs_show_to_print_secrets(sandbox: Sandbox, sts: LoopbackSts) -> None:
    assert sandbox.on_a_terminal("get", "developer")[0] == 2
    assert sts.count() == 0

    status, shown = sandbox.on_a_terminal("get", "developer", "--show")

    assert (status, '"SecretAccessKey"' in shown) == (0, True)


def test_full_disk_as_stdout_fails_and_keeps_the_cache(
    sandbox: Sandbox, sts: LoopbackSts, secret_service: SecretService
) -> None:
    said = "credhelper: error: cannot write the answer to stdout: no space left on device\n"
    assert sandbox.on_a_full_disk("get", "developer") == (1, said)
    sandbox.get("developer")
    assert sts.count() == 1


def test_closed_pipe_as_stdout_fails(sandbox: Sandbox) -> None:
    process = sandbox.start("get", "developer")
    process.stdout.close()  # type: ignore[union-attr]
    with process.stderr as stderr:  # type: ignore[union-attr]
        said = stderr.read()
    process.stdin.close()  # type: ignore[union-attr]

    assert process.wait() == 1
    assert said == b"credhelper: error: cannot write the answer to stdout: broken pipe\n"


def test_1_required_audit_log_that_cannot_be_written(sandbox: Sandbox, sts: LoopbackSts) -> None:
    sandbox.configure(PROFILES + "[audit]\nrequired = true\n")
    (sandbox.state / "audit.jsonl").mkdir(parents=True)

    assert "nothing is minted" in sandbox.refuses(1, "get", "developer")
    assert sts.count() == 0


@pytest.mark.parametrize("words", ["", "get", "frobnicate", "get a b", "get a --nonsense", "clear"])
def test_2_wrong_usage(sandbox: Sandbox, words: str) -> None:
    assert sandbox.refuses(2, *words.split()).startswith("credhelper: error: ")


CHAIN = "".join(
    f'[profiles.p{n}]\nrole_arn = "{ROLE}{n}"\nsource_profile = "p{n + 1}"\n' for n in range(1500)
)


@pytest.mark.parametrize(
    ("status", "name", "change", "sentence"),
    [
        (2, "develper", "", "did you mean 'developer'"),
        (2, "developer@", "", "names no account after the '@'"),
        (2, "unlock-bucket@", "", "names no account after the '@'"),
        (2, "audit-root@", "", "names no account after the '@'"),
        (2, "p0", f'{CHAIN}[profiles.p1500]\nrole_arn = "{ROLE}"\n', "a chain of more than 64"),
        (2, "developer", {"CREDHELPER_KEYRING": "no.such.Backend"}, "'no.such.Backend' cannot be loaded"),
        (3, "developer", 'source_profile = "absent"', "'absent'"),
        (5, "developer", 'mfa_serial = "arn:aws:iam::999988887777:mfa/me"', "needs an MFA code"),
        (5, "developer", "confirm = true", "asks for your confirmation"),
        (5, "developer", "require_reason = true", "needs a reason"),
        (6, "developer", {"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1"}, "cannot connect to STS"),
    ],
)
def test_2_3_5_6_end_without_a_call(
    sandbox: Sandbox, sts: LoopbackSts, status: int, name: str, change: str | dict[str, str], sentence: str
) -> None:
    """The change is made to the developer's settings or to the environment."""
    settings, environ = (change, {}) if isinstance(change, str) else ("", change)
    sandbox.configure(PROFILES + settings)
    assert sentence in sandbox.refuses(status, "get", name, **environ)
    assert sts.count() == 0


def test_region_of_another_partition_than_the_arn_is_refused(sandbox: Sandbox, sts: LoopbackSts) -> None:
    role = ROLE.replace("arn:aws:", "arn:aws-cn:")
    sandbox.configure(f'[profiles.x]\nrole_arn = "{role}"\nsource_profile = "org-admin"\n')
    said = sandbox.refuses(2, "get", "x", AWS_REGION="eu-west-1")

    assert "not in the partition of region 'eu-west-1'" in said
    assert sts.count() == 0


def test_4_refused_by_aws(sandbox: Sandbox, sts: LoopbackSts) -> None:
    sts.mode = faults.refuse("AccessDenied", f"not authorized to perform: sts:AssumeRole on resource: {ROLE}")
    assert f"not allowed: sts:AssumeRole on '{ROLE}'" in sandbox.refuses(4, "get", "developer")


def test_unforeseen_exception_shows_its_place_and_not_its_text(sandbox: Sandbox, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import credhelper.cli.get\n"
        "def fail(*a, **k): raise KeyError('MARKERSECRET')\n"
        "credhelper.cli.get.emit = fail\n"
    )
    said = sandbox.refuses(1, "get", "developer", PYTHONPATH=str(broken))

    assert "internal error: KeyError in sitecustomize.py line 2" in said
    assert "MARKERSECRET" not in said


def test_second_refresh_in_one_process_mints(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    line = f"{PROGRAM} get developer --refresh && sleep 1 && exec {PROGRAM} get developer --refresh"
    subprocess.run(["sh", "-c", line], env=sandbox.environ, check=True, capture_output=True)

    assert sts.count() == 2


def test_second_get_in_one_process_does_not_repeat_the_failure(
    sandbox: Sandbox, sts: LoopbackSts, secret_service
) -> None:
    sts.script.append(faults.refuse("AccessDenied", "no"))
    line = f"{PROGRAM} get developer 2>/dev/null || exec {PROGRAM} get developer"
    done = subprocess.run(["sh", "-c", line], env=sandbox.environ, check=True, capture_output=True)

    assert b"ASIA" in done.stdout


def test_closed_stdout_is_not_replaced_by_a_socket(
    sandbox: Sandbox, sts: LoopbackSts, secret_service: SecretService
) -> None:
    """With a stopped keyring a socket would get the number of stdout, and the answer with it."""
    secret_service.signal(signal.SIGSTOP)
    line = f"exec {PROGRAM} get developer >&-"
    done = subprocess.run(["sh", "-c", line], env=sandbox.environ, capture_output=True, check=False)

    assert (done.returncode, done.stdout) == (1, b"")
    assert b"cannot write the answer to stdout" in done.stderr


def mint_at_once(sandbox: Sandbox, sts: LoopbackSts, count: int, seconds: float, *flags: str) -> None:
    """Check that all callers mint, most of them less than `seconds` after the one before."""
    callers = [sandbox.start("get", "developer", *flags) for _ in range(count)]
    for caller in callers:
        sandbox.finish(caller)
    moments = sorted(call.at for call in sts.calls)
    assert len(moments) == count
    assert 2 * sum(after - before >= seconds for before, after in pairwise(moments)) < count


@pytest.mark.parametrize("flags", [["--cache", "memory"], []])
def test_callers_without_a_shared_cache_mint_at_the_same_time(sandbox, sts, flags: list[str]) -> None:
    sts.mode = faults.slow(3)
    sandbox.environ["CREDHELPER_KEYRING"] = "none"
    mint_at_once(sandbox, sts, 5, 3, *flags)


def test_callers_with_a_locked_keyring_mint_at_the_same_time(sandbox: Sandbox, sts: LoopbackSts) -> None:
    sts.mode = faults.slow(3)
    with sandbox.secret_service(None):
        mint_at_once(sandbox, sts, 5, 3)


def test_callers_with_a_stopped_keyring_time_out_at_the_same_time(
    sandbox: Sandbox, sts: LoopbackSts, secret_service: SecretService
) -> None:
    secret_service.signal(signal.SIGSTOP)
    mint_at_once(sandbox, sts, 10, 2)  # the timeout of a keyring operation


def test_keyring_property_variables_are_ignored(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    """keyring's KEYRING_PROPERTY_* could put them into another collection; they are not read."""
    elsewhere = "/org/freedesktop/secrets/collection/session"
    minted = sandbox.get("developer", KEYRING_PROPERTY_PREFERRED_COLLECTION=elsewhere)

    assert sandbox.get("developer") == minted
    assert sts.count() == 1


def test_python_warnings_and_clicks_completion_variable_are_ignored(sandbox: Sandbox) -> None:
    warnings = {"PYTHONWARNDEFAULTENCODING": "1", "PYTHONWARNINGS": "always", "PYTHONDEVMODE": "1"}
    sandbox.get("developer", _CREDHELPER_COMPLETE="bash_source", **warnings)


def test_files_opened_to_others_are_closed_by_the_next_write(sandbox: Sandbox, secret_service) -> None:
    sandbox.get("developer")
    sandbox.state.chmod(0o755)
    (sandbox.state / "audit.jsonl").chmod(0o644)
    sandbox.get("developer", "--refresh")

    sandbox.check_modes()


@pytest.mark.parametrize("value", ["relative", "./relative/x"])
def test_relative_xdg_directories_are_ignored(
    sandbox: Sandbox, secret_service, tmp_path: Path, value
) -> None:
    minted = sandbox.get("developer", XDG_STATE_HOME=value, XDG_CONFIG_HOME=value)

    assert sandbox.get("developer") == minted
    assert not Path("relative").exists()


def test_full_non_blocking_pipe_gets_the_whole_answer(sandbox: Sandbox, sts: LoopbackSts) -> None:
    sts.token_size = 200_000
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    process = subprocess.Popen([PROGRAM, "get", "developer"], env=sandbox.environ, stdout=writer)
    os.close(writer)
    time.sleep(1.5)
    with open(reader, "rb") as answer:
        assert answer.read().endswith(b"}\n")
    assert process.wait() == 0
