"""Source credentials: what botocore resolves, within a deadline, and what each way of failing says."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from credhelper.aws import source_credentials
from credhelper.credentials import AccessKey
from credhelper.errors import CredhelperError, InteractionError, RefusedError, SourceError

from blocks import script
from calls import Desk
from sandbox import AWS_CONFIG, processes
from sts import SOURCE_KEY_ID, SOURCE_SECRET

ROLE = 'role_arn = "arn:aws:iam::222233334444:role/Developer"\nregion = "eu-west-1"\n'
PROCESS = '[profiles.p]\nsource_profile = "x"\n' + ROLE
AWS_ROLE = "[profile role]\nrole_arn = arn:aws:iam::111122223333:role/R\n"
PAST = "2020-01-01T00:00:00Z"
ANSWER = {"Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "MARKERSECRET"}


@pytest.fixture
def desk(sandbox, monkeypatch):
    """Sources resolved in this process."""
    return Desk(sandbox, monkeypatch)


def process(desk, shell="", command=""):
    """Make a shell script (or a command) the credential_process of AWS profile x, the source of profile p."""
    script = desk.sandbox.home / "script.sh"
    script.write_text(shell)
    desk.sandbox.aws_config(f"[profile x]\ncredential_process = {command or f'sh {script}'}\n")
    desk.sandbox.configure(PROCESS)


def failure(desk, name="p", seconds=20):
    """The error of resolving a source, which quotes no secret."""
    with pytest.raises(CredhelperError) as caught:
        desk.source_key(name, seconds)
    for text in (caught.value.sentence, *caught.value.hints):
        assert "MARKERSECRET" not in text
        assert "\n" not in text
    return caught.value


# Static keys


def test_static_keys_of_the_config_are_a_source(desk):
    assert desk.source_key("developer") == AccessKey(SOURCE_KEY_ID, SOURCE_SECRET, None)


def test_keys_of_the_credentials_file_win_in_the_cache_key_too(desk):
    path = desk.sandbox.home / ".aws/credentials"
    path.write_text("[org-admin]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = x\n")
    assert desk.source_key("developer").access_key_id == "AKIAOTHER"
    assert desk.call("developer").source.identity == "key:AKIAOTHER"


def test_profile_without_credentials_is_named(desk):
    desk.setenv(AWS_EC2_METADATA_DISABLED="true")
    desk.sandbox.aws_config("[profile org-admin]\nregion = eu-west-1\n")
    assert failure(desk, "developer").sentence == "no credentials found in AWS profile 'org-admin'"


# SSO

SSO = """\
[profile corp-admin]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Admin

[profile legacy]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 111122223333
sso_role_name = Admin

[sso-session corp]
sso_region = eu-west-1
sso_start_url = https://corp.awsapps.com/start
"""


@pytest.mark.parametrize(
    ("profile", "cached"), [("corp-admin", "corp"), ("legacy", "https://corp.awsapps.com/start")]
)
@pytest.mark.parametrize("token", ["absent", "expired", "broken"])
def test_missing_or_expired_sso_login_names_the_command_that_renews_it(desk, profile, cached, token):
    desk.sandbox.aws_config(SSO)
    desk.sandbox.configure(f'[profiles.p]\nsource_profile = "{profile}"\n{ROLE}')
    cache = desk.sandbox.home / ".aws/sso/cache"
    cache.mkdir(parents=True)
    expired = {"accessToken": "MARKERSECRET", "expiresAt": PAST, "startUrl": "x", "region": "y"}
    if token != "absent":
        name = hashlib.sha1(cached.encode()).hexdigest()
        (cache / f"{name}.json").write_text(json.dumps(expired) if token == "expired" else "{}")
    for holder in ("credentials.SSOProvider", "tokens.SSOTokenProvider"):  # expanded when they were imported
        desk.monkeypatch.setattr(f"botocore.{holder}._SSO_TOKEN_CACHE_DIR", str(cache))
    error = failure(desk)
    assert type(error) is SourceError
    assert error.sentence == f"the login of AWS profile '{profile}' has expired or was never made"
    assert error.hints == (f"run 'aws sso login --profile {profile}'",)
    if token == "absent":
        assert f"credhelper: hint: {error.hints[0]}\n" in desk.sandbox.refuses(3, "get", "p")


# credential_process


def test_credential_process_gets_the_chain_in_its_environment(desk, sts):
    seen = desk.sandbox.home / "seen"
    process(desk, f"echo $CREDHELPER_CHAIN > {seen}; echo '{json.dumps(ANSWER)}'")
    assert desk.source_key("p").access_key_id == "AKIAPROCESS"
    assert json.loads(seen.read_text()) == [[str(desk.sandbox.config), "p"]]
    sts.keys["AKIAPROCESS"] = "MARKERSECRET"
    assert desk.sandbox.get("p")["AccessKeyId"] == sts.issued[-1]["AccessKeyId"]


@pytest.mark.parametrize(
    ("shell", "said"),
    [
        ("echo MARKERSECRET", "did not print valid JSON"),
        ('echo \'{"SecretAccessKey": "MARKERSECRET", \'', "did not print valid JSON"),
        ("echo '[\"MARKERSECRET\"]'", "did not print valid JSON"),
        ("printf '\\377MARKERSECRET'", "did not print valid JSON"),
        ("true", "did not print valid JSON"),
        ('echo \'{"Version": 2, "SecretAccessKey": "MARKERSECRET"}\'', "Unsupported version '2'"),
        ('echo \'{"Version": 1, "SecretAccessKey": "MARKERSECRET"}\'', "Missing required key in response"),
        ("echo MARKERSECRET; exit 7", "its credential_process: no message"),
        ("echo MARKERSECRET; printf '\\377' >&2; exit 7", "its credential_process ended with status 7"),
        ("printf 'no \\033[31mtoken\\r\\nsecond line' >&2; exit 1", "no "),
        ("kill -9 $$", "AWS profile 'x': "),
    ],
)
def test_failure_of_a_credential_process_is_one_sentence_without_its_output(desk, shell, said):
    process(desk, shell)
    error = failure(desk)
    assert type(error) is SourceError
    assert error.sentence.startswith("AWS profile 'x': ")
    assert said.removeprefix("its credential_process: ") in error.sentence


def test_expired_answer_of_a_credential_process_is_reported(desk):
    process(desk, f"echo '{json.dumps({**ANSWER, 'Expiration': PAST})}'")
    assert failure(desk).sentence == "AWS profile 'x': its credentials have expired already"


def test_control_characters_of_a_credential_process_reach_no_terminal(desk):
    process(desk, "printf '\\033[31mred \\342\\200\\250 x\\nsecond' >&2; exit 1")
    stderr = desk.sandbox.refuses(3, "get", "p")  # which checks that it is printable ASCII
    assert "red" in stderr
    assert "second" not in stderr


def test_missing_credential_process_is_named(desk):
    process(desk, command="no-such-program --flag")
    assert failure(desk).sentence == "credential_process: there is no program 'no-such-program'"


def test_credential_process_is_started_by_its_absolute_path(desk, tmp_path):
    script(tmp_path / "bin/mine", f"echo '{json.dumps(ANSWER)}'")
    process(desk, command="mine")
    desk.monkeypatch.chdir(tmp_path)
    desk.setenv(PATH=f"bin:{desk.sandbox.environ['PATH']}")
    started: list[list[str]] = []
    popen = source_credentials.subprocess.Popen

    def note(arguments, **more):
        started.append(arguments)
        return popen(arguments, **more)

    desk.monkeypatch.setattr(source_credentials.subprocess, "Popen", note)
    desk.source_key("p")
    assert started == [[str(tmp_path / "bin/mine")]]


@pytest.mark.parametrize(
    ("stderr", "status", "kind", "hints"),
    [
        ("credhelper: error: no such thing\ncredhelper: hint: retry\n", 4, RefusedError, ("retry",)),
        ("credhelper: error: no such thing\n", 5, InteractionError, ()),
        ("noise\ncredhelper: error: no such thing\n", 99, SourceError, ()),
    ],
)
def test_error_of_a_nested_credhelper_keeps_its_hints_and_status(desk, stderr, status, kind, hints):
    process(desk, f"printf %s {shlex.quote(stderr)} >&2; exit {status}")
    error = failure(desk)
    assert (type(error), error.sentence, error.hints) == (kind, "no such thing", hints)


THREADED = """\
import subprocess, sys, threading, time
sleep = [sys.executable, "-c", "import time; time.sleep(60)", "%s"]
threading.Thread(target=subprocess.run, args=(sleep,)).start()
time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
@pytest.mark.parametrize("kind", ["shell", "nested", "thread"])
def test_hanging_process_and_its_children_are_killed_at_the_deadline(desk, kind):
    marker = f"60.{os.getpid()}{kind.encode().hex()[:4].translate(str.maketrans('abcdef', '123456'))}"
    shells = {
        "shell": f"sleep {marker} & sleep {marker}; sleep {marker}",
        "nested": f"sh -c 'sh -c \"sleep {marker}; true\"; sleep {marker}'; sleep {marker}",
        "thread": f"{sys.executable} -c {shlex.quote(THREADED % marker)}; true",
    }
    process(desk, shells[kind])
    desk.monkeypatch.setattr(source_credentials, "SOURCE_SECONDS", 2.0)
    seen: list[int] = []

    def watch():
        while not seen and time.monotonic() < started + 2:
            seen.extend(processes("", marker))

    started = time.monotonic()
    watcher = threading.Thread(target=watch)
    watcher.start()
    error = failure(desk)
    assert time.monotonic() - started < 12  # it would hang for 60 s
    assert error.sentence == "AWS profile 'x' gave no credentials within 2 s"
    watcher.join()
    assert seen, "the marker must be visible for its absence to mean anything"
    time.sleep(0.2)
    assert [*processes("", marker)] == []


def test_shorter_deadline_of_the_caller_counts(desk):
    process(desk, "exec sleep 30")
    assert "within 1 s" in failure(desk, seconds=0.6).sentence


# Web identity


def test_web_identity_is_left_to_botocore_at_the_regional_endpoint(desk, sts):
    token = desk.sandbox.home / "token"
    token.write_text("MARKERSECRET")
    desk.sandbox.aws_config(
        f"[profile x]\nrole_arn = arn:aws:iam::111122223333:role/Web\nweb_identity_token_file = {token}\n"
        "region = eu-west-1\n"
    )
    desk.sandbox.configure(PROCESS)
    assert desk.call("p").source.lifetime == "temporary"
    error = failure(desk)
    assert [call.action for call in sts.calls] == ["AssumeRoleWithWebIdentity"]
    assert sts.calls[0].parameters["RoleArn"] == "arn:aws:iam::111122223333:role/Web"
    assert type(error) is SourceError
    assert error.sentence.startswith("AWS profile 'x': InvalidAction: ")


# Environment, container, instance


def test_environment_source_takes_keys_of_the_environment(desk):
    desk.sandbox.configure(f'[profiles.p]\ncredential_source = "Environment"\n{ROLE}')
    desk.setenv(AWS_ACCESS_KEY_ID="AKIAENV", AWS_SECRET_ACCESS_KEY="x", AWS_SESSION_TOKEN="t")
    access_key = desk.source_key("p")
    assert (access_key.access_key_id, access_key.session_token) == ("AKIAENV", "t")


@contextmanager
def metadata(answers):
    """A server of documents by path, on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found = answers.get(self.path)
            body = (found if isinstance(found, str) else json.dumps(found)).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def answer(key_id):
    """Credentials as the metadata endpoints give them."""
    expiration = f"{datetime.now(timezone.utc) + timedelta(hours=6):%Y-%m-%dT%H:%M:%SZ}"
    keys = {"AccessKeyId": key_id, "SecretAccessKey": "x", "Token": "t"}
    return {"Code": "Success", **keys, "Expiration": expiration}


def test_container_source_asks_the_container_endpoint(desk):
    desk.sandbox.configure(f'[profiles.p]\ncredential_source = "EcsContainer"\n{ROLE}')
    with metadata({"/task": answer("ASIATASK")}) as url:
        desk.setenv(AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{url}/task")
        assert desk.source_key("p").access_key_id == "ASIATASK"
    assert "credential_source 'EcsContainer'" in failure(desk).sentence


def test_instance_source_asks_the_metadata_endpoint(desk):
    desk.sandbox.configure(f'[profiles.p]\ncredential_source = "Ec2InstanceMetadata"\n{ROLE}')
    place = "/latest/meta-data/iam/security-credentials/"
    with metadata({"/latest/api/token": "token", place: "role", f"{place}role": answer("ASIAROLE")}) as url:
        desk.setenv(AWS_EC2_METADATA_SERVICE_ENDPOINT=f"{url}/")
        assert desk.source_key("p").access_key_id == "ASIAROLE"
    desk.setenv(AWS_EC2_METADATA_DISABLED="true")
    assert failure(desk).sentence == "no credentials found in credential_source 'Ec2InstanceMetadata'"


# The default chain


def test_default_chain_ignores_the_profile_variables(sandbox, sts):
    sandbox.configure(f"[profiles.p]\n{ROLE}")
    sandbox.aws_config(
        "[profile p]\ncredential_process = credhelper get p\n"
        f"[default]\naws_access_key_id = {SOURCE_KEY_ID}\naws_secret_access_key = {SOURCE_SECRET}\n"
    )
    envelope = sandbox.get("p", AWS_PROFILE="p", AWS_DEFAULT_PROFILE="p")
    assert envelope["AccessKeyId"] == sts.issued[0]["AccessKeyId"]
    assert [call.access_key_id for call in sts.calls] == [SOURCE_KEY_ID]


def test_missing_source_profile_key_or_role_source_ends_the_program(sandbox):
    sandbox.configure(
        f'[profiles.a]\nsource_profile = "org-admim"\n{ROLE}[profiles.b]\nsource_key = "k"\n{ROLE}'
        f'[profiles.c]\nsource_profile = "role"\n{ROLE}'
    )
    sandbox.aws_config(AWS_CONFIG + AWS_ROLE)
    assert "did you mean 'org-admin'" in sandbox.refuses(3, "get", "a")
    assert "saved key 'k' is not in the OS keyring" in sandbox.refuses(3, "get", "b")
    assert "has 'role_arn' but no source" in sandbox.refuses(2, "get", "c")


def test_each_call_of_a_chain_is_signed_by_the_session_below(sandbox, sts):
    sandbox.configure(
        f'[profiles.low]\nsource_profile = "role"\n{ROLE}[profiles.p]\nsource_profile = "low"\n'
        'task_policy_arn = "S3UnlockBucketPolicy"\ntarget_principal = "111122223333"\nregion = "eu-west-1"\n'
    )
    sandbox.aws_config(f"{AWS_CONFIG}{AWS_ROLE}source_profile = org-admin\n")
    envelope = sandbox.get("p")
    assert [call.action for call in sts.calls] == ["AssumeRole", "AssumeRole", "AssumeRoot"]
    minted = [issued["AccessKeyId"] for issued in sts.issued]
    assert [call.access_key_id for call in sts.calls] == [SOURCE_KEY_ID, *minted[:2]]
    assert envelope["AccessKeyId"] == minted[2]
