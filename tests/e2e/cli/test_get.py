"""`credhelper get`, the real program over a real Secret Service and a loopback STS."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sts_faults as faults
from sandbox import PROFILES, PROGRAM, Sandbox

if TYPE_CHECKING:
    from sandbox import SecretService
    from sts import LoopbackSts

ROLE = "arn:aws:iam::222233334444:role/Developer"


def test_a_root_session_comes_as_the_envelope_that_sdks_read(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """AssumeRoot with the target's id and the task's ARN; the envelope names the member account."""
    envelope = sandbox.get("unlock-bucket")
    issued = sts.issued[-1]

    assert set(envelope) == {
        "Version",
        "AccessKeyId",
        "SecretAccessKey",
        "SessionToken",
        "Expiration",
        "AccountId",
    }
    assert envelope["AccountId"] == "111122223333"
    assert envelope["SecretAccessKey"] == issued["SecretAccessKey"]
    assert sts.calls[-1].parameters == {
        "TargetPrincipal": "111122223333",
        "TaskPolicyArn": {"arn": "arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"},
        "DurationSeconds": 900,
    }


def test_the_second_call_comes_from_the_keyring(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    """Another process, the same session; STS is asked once and files are private."""
    assert sandbox.get("developer") == sandbox.get("developer")
    assert sts.count() == 1
    sandbox.check_modes()


def test_an_open_target_is_given_with_the_name(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    """PROFILE@ALIAS and PROFILE@ID are the same session; another account is another one."""
    by_alias = sandbox.get("audit-root@payments-prod")

    assert sandbox.get("audit-root@111122223333") == by_alias
    assert sandbox.get("audit-root@222233334444")["AccountId"] == "222233334444"
    assert sts.count("AssumeRoot") == 2


def test_an_edited_role_is_a_new_call(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    """What the old role minted is not given for the new one."""
    old = sandbox.get("developer")
    sandbox.configure(PROFILES.replace("role/Developer", "role/Auditor"))
    new = sandbox.get("developer")

    assert new["AccessKeyId"] != old["AccessKeyId"]
    assert sts.calls[-1].parameters["RoleArn"].endswith("role/Auditor")


def test_a_session_token_of_200_kb_comes_back_whole(
    sandbox: Sandbox, sts: LoopbackSts, secret_service
) -> None:
    """Tokens have no maximum size: neither the keyring nor stdout cuts this one."""
    sts.token_size = 200_000
    minted = sandbox.get("developer")

    assert len(minted["SessionToken"]) == 200_000
    assert sandbox.get("developer") == minted
    assert sts.count() == 1


def test_forty_cold_callers_mint_once(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    """Without an agent: one STS call, one access key id for all."""
    callers = [sandbox.start("get", "developer") for _ in range(40)]
    keys = {sandbox.finish(caller).envelope["AccessKeyId"] for caller in callers}

    assert (len(keys), sts.count()) == (1, 1)


def test_forty_callers_of_a_refused_mint_get_the_same_sentence(
    sandbox: Sandbox, sts: LoopbackSts, secret_service
) -> None:
    """One STS call; everybody who was waiting is told the same, with exit 4."""
    sts.mode = faults.refuse("AccessDenied", "no")
    callers = [sandbox.start("get", "developer") for _ in range(40)]
    results = [sandbox.finish(caller) for caller in callers]

    assert {(result.status, result.stderr) for result in results} == {(4, results[0].stderr)}
    assert sts.count() == 1


def test_refresh_mints_and_stores(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    """--refresh does not take what is cached, and the next caller gets what it brought."""
    sandbox.get("developer")
    refreshed = sandbox.get("developer", "--refresh")

    assert sts.count() == 2
    assert sandbox.get("developer") == refreshed


def test_without_cache_nothing_is_read_or_stored(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    """--no-cache mints, and what is in the keyring stays."""
    cached = sandbox.get("developer")
    sandbox.get("developer", "--no-cache")

    assert sts.count() == 2
    assert sandbox.get("developer") == cached


@pytest.mark.parametrize("cache", ['"memory"', "false"])
def test_what_may_not_be_stored_is_not(
    sandbox: Sandbox, sts: LoopbackSts, secret_service, cache: str
) -> None:
    """`cache = "memory"` and `cache = false` put nothing into the keyring."""
    sandbox.configure(PROFILES + f"cache = {cache}\n")
    sandbox.get("developer")
    sandbox.get("developer")

    assert sts.count() == 2
    assert not (sandbox.state / "items.jsonl").exists()


def test_a_flag_beats_the_file(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """Every key of a profile is a flag of the same name."""
    sandbox.get(
        "developer",
        *("--role-arn", ROLE + "2", "--duration-seconds", "1800", "--external-id", "x-1"),
        *(
            "--tags",
            "team=a",
            "--tags",
            "cost=b=c",
            "--policy-arns",
            "arn:aws:iam::aws:policy/ReadOnlyAccess",
        ),
    )

    assert sts.calls[-1].parameters == {
        "RoleArn": ROLE + "2",
        "RoleSessionName": sts.calls[-1].parameters["RoleSessionName"],
        "DurationSeconds": 1800,
        "ExternalId": "x-1",
        "Tags": [{"Key": "team", "Value": "a"}, {"Key": "cost", "Value": "b=c"}],
        "PolicyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}],
    }


def test_the_person_is_readable_in_the_session_name(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """{user}@{host} by default: CloudTrail shows who it was."""
    sandbox.get("developer")

    user, host = sts.calls[-1].parameters["RoleSessionName"].split("@")
    assert (user, host) == (pwd.getpwuid(os.geteuid()).pw_name, os.uname().nodename.split(".")[0])


def test_a_reason_goes_into_the_record(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """--reason and CREDHELPER_REASON; the flag wins."""
    sandbox.get("developer", "--reason", "ticket 1", CREDHELPER_REASON="ticket 2")
    sandbox.get("developer", CREDHELPER_REASON="ticket 2")

    assert [line["reason"] for line in sandbox.audit()] == ["ticket 1", "ticket 2"]


def test_no_keyring_still_answers_and_says_so_in_the_log(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """On a machine without a keyring every call mints, stderr stays empty, and the log tells why."""
    sandbox.get("developer")
    sandbox.get("developer")

    assert sts.count() == 2
    assert "not cached" in sandbox.log()


def test_a_valid_session_outlives_an_outage(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    """Past fresh, STS down: the cached session is the answer, and the log has the failure."""
    sts.mode = faults.expires_in(300)
    sandbox.configure(PROFILES + "min_remaining = 43200\nduration_seconds = 900\n")
    cached = sandbox.get("developer")
    sts.mode = faults.status_xml(503)
    time.sleep(0.1)

    assert sandbox.get("developer", "--refresh") == cached
    assert "served from the cache because" in sandbox.log()


def test_a_terminal_does_not_get_to_see_secrets(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """With a terminal as stdout: exit 2 and no STS call; --show prints all the same."""
    assert sandbox.on_a_terminal("get", "developer")[0] == 2
    assert sts.count() == 0

    status, shown = sandbox.on_a_terminal("get", "developer", "--show")

    assert (status, '"SecretAccessKey"' in shown) == (0, True)


def test_a_full_disk_as_stdout_is_a_failure(sandbox: Sandbox, secret_service: SecretService) -> None:
    """The answer could not be written: exit 1 with a sentence, and the cache is intact."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [PROGRAM, "get", "developer"],
            env=sandbox.environ,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert done.returncode == 1
    assert b"credhelper: error: cannot write the answer to stdout" in done.stderr
    sandbox.get("developer")


def test_a_reader_that_has_gone_is_a_failure(sandbox: Sandbox) -> None:
    """A closed pipe: exit 1, and no traceback."""
    process = sandbox.start("get", "developer")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    process.stdin.close()  # type: ignore[union-attr]

    assert process.wait() == 1
    assert said == b"credhelper: error: cannot write the answer to stdout: broken pipe\n"


class TestExitStatuses:
    """Each exit status, from the situation that it stands for."""

    def test_1_the_record_is_required_and_cannot_be_written(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        """[audit] required, and a directory where the record should be."""
        sandbox.configure(PROFILES + "[audit]\nrequired = true\n")
        (sandbox.state / "audit.jsonl").mkdir(parents=True)

        assert "nothing is minted" in sandbox.refuses(1, "get", "developer")
        assert sts.count() == 0

    def test_2_usage(self, sandbox: Sandbox) -> None:
        """The command line library's own complaints have our form too."""
        for arguments in (
            [],
            ["get"],
            ["frobnicate"],
            ["get", "a", "b"],
            ["get", "a", "--nonsense"],
            ["clear"],
        ):
            assert sandbox.refuses(2, *arguments).startswith("credhelper: error: ")

    def test_2_configuration(self, sandbox: Sandbox) -> None:
        """A profile that is not there, with the one that was meant."""
        assert "did you mean 'developer'" in sandbox.refuses(2, "get", "develper")

    def test_3_no_source(self, sandbox: Sandbox) -> None:
        """The AWS profile is gone."""
        sandbox.aws_config("[profile other]\nregion = eu-west-1\n")

        assert "'org-admin'" in sandbox.refuses(3, "get", "developer")

    def test_4_refused(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        """AWS says no."""
        sts.mode = faults.refuse(
            "AccessDenied", f"not authorized to perform: sts:AssumeRole on resource: {ROLE}"
        )

        assert f"not allowed: sts:AssumeRole on '{ROLE}'" in sandbox.refuses(4, "get", "developer")

    def test_5_a_human_is_needed(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        """MFA, confirmation and reason, with nobody there."""
        sandbox.configure(PROFILES + 'mfa_serial = "arn:aws:iam::999988887777:mfa/me"\n')
        assert "needs an MFA code" in sandbox.refuses(5, "get", "developer")
        sandbox.configure(PROFILES + "confirm = true\n")
        assert "asks for your confirmation" in sandbox.refuses(5, "get", "developer")
        sandbox.configure(PROFILES + "require_reason = true\n")
        assert "needs a reason" in sandbox.refuses(5, "get", "developer")

        assert sts.count() == 0

    def test_6_sts_is_not_reachable(self, sandbox: Sandbox, sts: LoopbackSts) -> None:
        """Nothing listens at the endpoint."""
        assert "cannot connect to STS" in sandbox.refuses(
            6, "get", "developer", AWS_ENDPOINT_URL_STS="http://127.0.0.1:1"
        )


def test_a_defect_of_ours_shows_no_traceback(sandbox: Sandbox, tmp_path: Path) -> None:
    """An unforeseen exception is one sentence with its place, without its text."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import credhelper.cli.get\n"
        "def fail(*a, **k): raise KeyError('MARKERSECRET')\n"
        "credhelper.cli.get.answer = fail\n"
    )
    said = sandbox.refuses(1, "get", "developer", PYTHONPATH=str(broken))

    assert "internal error: KeyError in sitecustomize.py line 2" in said
    assert "MARKERSECRET" not in said


class TestSince:
    """A caller counts as waiting from the start of its program, not of the shell that became it."""

    def test_a_refresh_after_exec_mints(self, sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
        """Two refreshes, the second in the process of the shell that ran the first: two mints."""
        line = f"{PROGRAM} get developer --refresh && sleep 1 && exec {PROGRAM} get developer --refresh"
        subprocess.run(["sh", "-c", line], env=sandbox.environ, check=True, capture_output=True)

        assert sts.count() == 2

    def test_a_failure_is_not_held_against_who_comes_later(
        self, sandbox: Sandbox, sts: LoopbackSts, secret_service
    ) -> None:
        """Refused, mended, asked again by an exec of the same shell: an answer."""
        sts.script.append(faults.refuse("AccessDenied", "no"))
        line = f"{PROGRAM} get developer 2>/dev/null || exec {PROGRAM} get developer"
        done = subprocess.run(["sh", "-c", line], env=sandbox.environ, check=True, capture_output=True)

        assert b"ASIA" in done.stdout


def test_a_closed_stdout_gets_nothing(
    sandbox: Sandbox, sts: LoopbackSts, secret_service: SecretService
) -> None:
    """With a stopped keyring a socket would get the number of stdout, and the answer with it."""
    secret_service.signal(signal.SIGSTOP)
    line = f"exec {PROGRAM} get developer >&-"
    done = subprocess.run(["sh", "-c", line], env=sandbox.environ, capture_output=True, check=False)

    assert (done.returncode, done.stdout) == (1, b"")
    assert b"cannot write the answer to stdout" in done.stderr


@pytest.mark.parametrize("how", [["--cache", "memory"], []])
def test_callers_that_cannot_share_do_not_wait_for_each_other(sandbox, sts, how: list[str]) -> None:
    """Without a keyring, or with `cache = "memory"`, nobody holds a lock while STS takes its time."""
    sts.mode = faults.slow(3)
    callers = [sandbox.start("get", "developer", *how, CREDHELPER_KEYRING="none") for _ in range(5)]
    for caller in callers:
        sandbox.finish(caller)

    moments = sorted(call.at for call in sts.calls)
    assert moments[-1] - moments[1] < 2 * 3  # one after another would be 3 * 3; the first one has the lock


def test_callers_before_a_locked_keyring_do_not_wait_for_each_other(
    sandbox: Sandbox, sts: LoopbackSts
) -> None:
    """The first one finds it locked under its lock; those behind it do not queue for nothing."""
    with sandbox.secret_service(None):
        sts.mode = faults.slow(3)
        callers = [sandbox.start("get", "developer") for _ in range(5)]
        for caller in callers:
            sandbox.finish(caller)

    moments = sorted(call.at for call in sts.calls)
    assert moments[-1] - moments[1] < 2 * 3


def test_variables_do_not_move_items(sandbox: Sandbox, sts: LoopbackSts, secret_service) -> None:
    """keyring's KEYRING_PROPERTY_* could put them into another collection; they are not read."""
    elsewhere = "/org/freedesktop/secrets/collection/session"
    minted = sandbox.get("developer", KEYRING_PROPERTY_PREFERRED_COLLECTION=elsewhere)

    assert sandbox.get("developer") == minted
    assert sts.count() == 1


def test_a_backend_that_cannot_load_is_known_before_the_mint(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """Exit 2, and nothing was sent to AWS."""
    assert "'no.such.Backend' cannot be loaded" in sandbox.refuses(
        2, "get", "developer", CREDHELPER_KEYRING="no.such.Backend"
    )
    assert sts.count() == 0


def test_a_chain_has_an_end(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """Hundreds of profiles that rest on each other are a mistake, said as one."""
    hops = "".join(
        f'[profiles.p{n}]\nrole_arn = "{ROLE}{n}"\nsource_profile = "p{n + 1}"\n' for n in range(1500)
    )
    sandbox.configure(hops + f'[profiles.p1500]\nrole_arn = "{ROLE}"\nsource_profile = "org-admin"\n')

    assert "depends on a chain of more than 64" in sandbox.refuses(2, "get", "p0")
    assert sts.count() == 0


def test_the_region_of_the_environment_is_held_against_the_arn(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """A role in another partition than AWS_REGION is a mistake before any request."""
    role = ROLE.replace("arn:aws:", "arn:aws-cn:")
    sandbox.configure(f'[profiles.x]\nrole_arn = "{role}"\nsource_profile = "org-admin"\n')

    assert "not in the partition of region 'eu-west-1'" in sandbox.refuses(
        2, "get", "x", AWS_REGION="eu-west-1"
    )
    assert sts.count() == 0


@pytest.mark.parametrize("name", ["developer@", "unlock-bucket@", "audit-root@"])
def test_an_empty_target_is_a_mistake(sandbox: Sandbox, name: str) -> None:
    """PROFILE@ without a target."""
    assert "names no account after the '@'" in sandbox.refuses(2, "get", name)


def test_warnings_of_libraries_stay_off_stderr(sandbox: Sandbox) -> None:
    """Whatever Python's own variables ask for."""
    sandbox.get("developer", PYTHONWARNDEFAULTENCODING="1", PYTHONWARNINGS="always", PYTHONDEVMODE="1")


def test_files_left_open_to_others_are_closed(sandbox: Sandbox, secret_service) -> None:
    """A state directory that somebody has opened up is private again after the next write."""
    sandbox.get("developer")
    sandbox.state.chmod(0o755)
    (sandbox.state / "audit.jsonl").chmod(0o644)
    sandbox.get("developer", "--refresh")

    sandbox.check_modes()


@pytest.mark.parametrize("value", ["relative", "./relative/x"])
def test_relative_xdg_directories_are_ignored(
    sandbox: Sandbox, secret_service, tmp_path: Path, value
) -> None:
    """As the XDG specification asks; nothing is written into the working directory."""
    minted = sandbox.get("developer", XDG_STATE_HOME=value, XDG_CONFIG_HOME=value)

    assert sandbox.get("developer") == minted
    assert not Path("relative").exists()


def test_a_refusal_without_a_keyring_is_one_call_too(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """Nothing can be kept, but a failure can: forty callers, one STS call, forty times the sentence."""
    sts.mode = faults.refuse("AccessDenied", "no")
    callers = [sandbox.start("get", "developer") for _ in range(40)]
    results = [sandbox.finish(caller) for caller in callers]

    assert {(result.status, result.stderr) for result in results} == {(4, results[0].stderr)}
    assert sts.count() == 1


def test_a_herd_before_a_stopped_keyring_does_not_queue(sandbox, sts, secret_service: SecretService) -> None:
    """The first caller finds out that nothing answers; nobody behind it has to, one after another."""
    secret_service.signal(signal.SIGSTOP)
    began = time.monotonic()
    callers = [sandbox.start("get", "developer") for _ in range(10)]
    for caller in callers:
        sandbox.finish(caller)

    assert time.monotonic() - began < 18  # one after another, at 2 s each, it would be more than 20


def test_a_full_pipe_that_does_not_block_gets_the_whole_answer(sandbox: Sandbox, sts: LoopbackSts) -> None:
    """200 KB for a reader that comes late, through a pipe that its owner has made non-blocking."""
    sts.token_size = 200_000
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    process = subprocess.Popen([PROGRAM, "get", "developer"], env=sandbox.environ, stdout=writer)
    os.close(writer)
    time.sleep(1.5)
    with open(reader, "rb") as answer:
        assert answer.read().endswith(b"}\n")
    assert process.wait() == 0


def test_completion_of_the_command_line_library_does_not_answer(sandbox: Sandbox) -> None:
    """Its variable in the environment changes nothing."""
    sandbox.get("developer", _CREDHELPER_COMPLETE="bash_source")
