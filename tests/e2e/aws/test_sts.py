"""STS calls: what is sent, where to, and what every way of failing becomes, within the deadline."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from credhelper.app import Invocation, open_app
from credhelper.aws import sts as aws_sts
from credhelper.credentials import AccessKey
from credhelper.deadline import Deadline
from credhelper.errors import (
    ConfigError,
    CredhelperError,
    RefusedError,
    SourceError,
    UnreachableError,
    printable,
)
from credhelper.prompts import Answer

import sts_faults as faults
from calls import SOURCE_KEYS, Desk
from sandbox import AWS_CONFIG
from sts import SOURCE_SECRET

SLACK = 6.0  # seconds beyond the deadline that a busy machine may need; without one it would be 15 and more
REFUSED, UNREACHABLE = RefusedError, UnreachableError


@pytest.fixture
def desk(sandbox, monkeypatch):
    """Calls made in this process, with retries that do not wait."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    return Desk(sandbox, monkeypatch)


FAULTS: list[tuple[faults.Mode, type[CredhelperError], str, int]] = [
    (faults.THROTTLED, UNREACHABLE, "STS is throttling", 3),
    (faults.refuse("RequestLimitExceeded", "slow down", 503), UNREACHABLE, "STS is throttling", 3),
    (faults.status_xml(500), UNREACHABLE, "STS in 'eu-west-1' is failing: ServiceFailure", 3),
    (faults.status_xml(503), UNREACHABLE, "STS in 'eu-west-1' is failing: ServiceUnavailable", 3),
    *(
        (faults.status_plain(status), UNREACHABLE, f"status {status} with something else", 3)
        for status in (429, 500, 502, 503, 504)
    ),
    (faults.RESET, UNREACHABLE, "closed the connection without an answer", 3),
    (faults.CUT_BODY, UNREACHABLE, "the connection broke off before the end of its answer", 3),
    (faults.status_plain(403), UNREACHABLE, "something else instead of STS's answer (status 403)", 1),
    (faults.HTML_200, UNREACHABLE, "a web page instead of STS's answer (status 200)", 1),
    (faults.HTML_302, UNREACHABLE, "a web page instead of STS's answer (status 302)", 1),
    (faults.EMPTY_200, UNREACHABLE, "nothing instead of STS's answer (status 200)", 1),
    (faults.GARBAGE, UNREACHABLE, "something else instead of STS's answer (status 200)", 1),
    (faults.CUT_XML, UNREACHABLE, "an answer that cannot be read (ResponseParserError)", 1),
    (faults.RAW_ESCAPE, UNREACHABLE, "an answer that cannot be read (ResponseParserError)", 1),
    (faults.NO_CREDENTIALS, UNREACHABLE, "answered without credentials", 1),
    (faults.MISSING_FIELDS, UNREACHABLE, "answered without credentials", 1),
    (faults.EXPIRED, UNREACHABLE, "answered with expired credentials", 1),
    (faults.ABSURD_EXPIRATION, UNREACHABLE, "an absurd expiration", 1),
    (faults.expires_in(90000), UNREACHABLE, "an absurd expiration", 1),
    (faults.BAD_EXPIRATION, UNREACHABLE, "an answer that cannot be read (ValueError)", 1),
    (faults.HUGE, UNREACHABLE, "more than 1024 KiB", 1),
    (faults.HUGE_CHUNKED, UNREACHABLE, "more than 1024 KiB", 1),
    (faults.CONTROL_CHARS, REFUSED, "not allowed: sts:AssumeRole", 1),
    (faults.refuse("AccessDenied", "no"), REFUSED, "not allowed: sts:AssumeRole", 1),
    (faults.refuse("ValidationError", "no", 400), REFUSED, "STS refused AssumeRole: ValidationError", 1),
]


def failure(desk, **more):
    """The error of a mint, printable and without secrets."""
    with pytest.raises(CredhelperError) as caught:
        desk.mint("developer", **more)
    error = caught.value
    for text in (error.sentence, *error.hints):
        assert text == printable(text)
        assert SOURCE_SECRET not in text
        assert "MARKERSECRET" not in text
    return error


@pytest.mark.parametrize(
    ("mode", "kind", "said", "calls"), FAULTS, ids=lambda value: getattr(value, "name", None)
)
def test_broken_answer_is_one_sentence_and_only_transient_ones_retry(desk, sts, mode, kind, said, calls):
    sts.mode = mode
    error = failure(desk)
    assert type(error) is kind
    assert said in error.sentence
    assert sts.count() == calls


@pytest.mark.parametrize("mode", [faults.DRIP, faults.DRIP_HEADERS, faults.HANG, faults.slow(30)])
def test_slow_answer_ends_at_the_deadline_of_the_whole_call(desk, sts, mode):
    desk.monkeypatch.setattr(aws_sts, "STS_SECONDS", 1.0)
    desk.call("developer")  # the first client loads botocore's model
    sts.mode, started = mode, time.monotonic()
    error = failure(desk)
    assert time.monotonic() - started < 1 + SLACK
    assert type(error) is UnreachableError
    assert "did not answer within 1 s" in error.sentence


def test_shorter_deadline_of_the_caller_counts(desk, sts):
    sts.mode, started = faults.HANG, time.monotonic()
    assert "within 1 s" in failure(desk, seconds=1).sentence
    assert time.monotonic() - started < 1 + SLACK


def test_nothing_is_sent_after_the_deadline(desk, sts):
    failure(desk, seconds=0)
    desk.monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.4)
    sts.mode = faults.THROTTLED
    failure(desk, seconds=0.3)
    before = sts.count()
    time.sleep(0.6)
    assert sts.count() == before <= 1


@pytest.mark.parametrize("mode", [faults.THROTTLED, faults.RESET, faults.status_plain(503), faults.CUT_BODY])
def test_transient_failure_costs_one_retry(desk, sts, mode):
    sts.script.append(mode)
    assert desk.mint("developer").credentials.access_key_id == sts.issued[-1]["AccessKeyId"]
    assert sts.count() == 2


def resident():
    """Bytes of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("mode", [faults.HUGE, faults.HUGE_CHUNKED], ids=["sized", "chunked"])
def test_answer_of_50_mib_is_not_held_in_memory(desk, sts, mode):
    desk.mint("developer")
    sts.mode, before, most = mode, resident(), [0]
    done = threading.Event()

    def watch():
        while not done.wait(0.002):
            most[0] = max(most[0], resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    failure(desk)
    done.set()
    watcher.join()
    assert most[0] - before < 20 * 2**20


def test_port_without_a_server_is_reported_with_what_to_check(desk):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        desk.setenv(AWS_ENDPOINT_URL_STS=f"http://127.0.0.1:{unused.getsockname()[1]}")
        error = failure(desk)
    assert error.sentence.startswith("cannot connect to STS at 'http://127.0.0.1:")
    assert error.hints == ("check the network, 'region' and 'endpoint_url'",)


def test_port_without_tls_is_reported_with_the_setting_for_proxies(desk, sts):
    desk.setenv(AWS_ENDPOINT_URL_STS=sts.url.replace("http:", "https:"))
    error = failure(desk)
    assert error.sentence.startswith("the TLS connection to STS at 'https://127.0.0.1:")
    assert "'ca_bundle'" in error.hints[0]


def test_unreachable_proxy_is_named_without_its_password(desk):
    desk.setenv(HTTPS_PROXY="http://me:hunter2@127.0.0.1:9")
    del desk.sandbox.environ["AWS_ENDPOINT_URL_STS"]
    sentence = failure(desk).sentence
    assert "proxy" in sentence
    assert "hunter2" not in sentence


@pytest.mark.parametrize(
    "access_key",
    [
        AccessKey("AKIA\r", "s3cr3t"),
        AccessKey("AKIA", "s3cr3t\n"),
        AccessKey("AKIA", "s3cr3t", "t0ken\r\nX-Evil: 1"),
        AccessKey("AKIA", "", "t0ken"),
    ],
    ids=["id", "secret", "token", "empty"],
)
def test_key_with_a_control_character_is_neither_sent_nor_quoted(desk, sts, access_key):
    error = failure(desk, access_key=access_key)
    assert type(error) is SourceError
    assert "of AWS profile 'org-admin' is empty or has a control character" in error.sentence
    assert not re.search("s3cr3t|t0ken", error.sentence)
    assert sts.count() == 0


def test_header_that_http_client_refuses_is_not_quoted(desk):
    desk.monkeypatch.setattr(aws_sts, "_check_key", lambda *_: None)
    error = failure(desk, access_key=AccessKey("AKIA", "x", "MARKERSECRET\nX: 1"))
    assert error.sentence.startswith("no answer from STS")


def test_no_secret_is_logged(desk, caplog):
    caplog.set_level(logging.DEBUG)
    desk.mint("developer")
    assert "MARKERSECRET" not in caplog.text
    assert SOURCE_SECRET not in caplog.text


CONTEXT_PROVIDER = "arn:aws:iam::aws:contextProvider/IdentityCenter"
DEVICE = "arn:aws:iam::999988887777:mfa/me"

ROLE_PROFILE = """\
[profiles.full]
role_arn = "arn:aws:iam::222233334444:role/team/Developer"
source_profile = "org-admin"
region = "eu-west-1"
role_session_name = "{user}@{host}"
policy = '{"Version": "2012-10-17", "Statement": []}'
policy_arns = ["arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::aws:policy/job-function/Billing"]
duration_seconds = 1800
tags = { team = "payments", who = "{user} because {reason}" }
transitive_tag_keys = ["team"]
external_id = "4711"
source_identity = "{user}+{reason}"
minimum_session_token_size = 2048

[[profiles.full.provided_contexts]]
ProviderArn = "arn:aws:iam::aws:contextProvider/IdentityCenter"
ContextAssertion = "assertion"
"""


def test_every_parameter_of_assume_role_arrives_with_placeholders_filled_in(desk, sts):
    desk.sandbox.configure(ROLE_PROFILE)
    desk.person = type(desk.person)("alice", "desk 7", lambda _: "ticket 4711")
    minted = desk.mint("full")
    assert sts.calls[0].parameters == {
        "RoleArn": "arn:aws:iam::222233334444:role/team/Developer",
        "RoleSessionName": "alice@desk-7",
        "Policy": '{"Version": "2012-10-17", "Statement": []}',
        "PolicyArns": [
            {"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"},
            {"arn": "arn:aws:iam::aws:policy/job-function/Billing"},
        ],
        "DurationSeconds": 1800,
        "Tags": [{"Key": "team", "Value": "payments"}, {"Key": "who", "Value": "alice because ticket 4711"}],
        "TransitiveTagKeys": ["team"],
        "ExternalId": "4711",
        "SourceIdentity": "alice+ticket-4711",
        "ProvidedContexts": [{"ProviderArn": CONTEXT_PROVIDER, "ContextAssertion": "assertion"}],
        "MinimumSessionTokenSize": 2048,
    }
    assert len(minted.credentials.session_token) == 2048
    found = (minted.credentials.source_identity, minted.credentials.arn, minted.credentials.account_id)
    arn = "arn:aws:sts::222233334444:assumed-role/Developer/alice@desk-7"
    assert found == ("alice+ticket-4711", arn, "222233334444")


def test_every_parameter_of_assume_root_arrives_with_ids_and_arns(desk, sts):
    sts.source_identity = "alice"
    minted = desk.mint("unlock-bucket", minimum_session_token_size=1024, duration_seconds=600)
    assert sts.calls[0].parameters == {
        "TargetPrincipal": "111122223333",
        "TaskPolicyArn": {"arn": "arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"},
        "DurationSeconds": 600,
        "MinimumSessionTokenSize": 1024,
    }
    credentials = minted.credentials
    assert (credentials.account_id, credentials.source_identity) == ("111122223333", "alice")
    assert 590 < credentials.life <= 601


def test_every_parameter_of_get_session_token_arrives(desk, sts):
    desk.sandbox.configure(f'[profiles.s]\nsource_profile = "org-admin"\nmfa_serial = "{DEVICE}"\n')
    desk.mint("s", code="123456", duration_seconds=900, minimum_session_token_size=800)
    assert sts.calls[0].action == "GetSessionToken"
    assert sts.calls[0].parameters == {
        "DurationSeconds": 900,
        "SerialNumber": DEVICE,
        "TokenCode": "123456",
        "MinimumSessionTokenSize": 800,
    }


def test_mfa_code_is_sent_once_for_the_session_and_not_for_the_role(desk, sts):
    desk.monkeypatch.setenv("HOME", str(desk.sandbox.home))
    environ = {**desk.sandbox.environ, "CREDHELPER_KEYRING": "none"}
    app = open_app(environ, Invocation(time.monotonic()))
    asked: list[str] = []

    def answer(question, **_):
        asked.append(question.label)
        return Answer("654321", "test")

    desk.monkeypatch.setattr("credhelper.prompts.ask", answer)
    app.provider(sts=desk.aws()).get(desk.call("developer", mfa_serial=DEVICE))
    assert asked == [f"MFA code of '{DEVICE}'"]
    assert [(call.action, call.parameters.get("TokenCode")) for call in sts.calls] == [
        ("GetSessionToken", "654321"),
        ("AssumeRole", None),
    ]
    assert sts.calls[1].access_key_id == sts.issued[0]["AccessKeyId"]


def test_minted_session_has_what_sts_issued_and_its_clock(desk, sts):
    sts.clock_offset = 120
    minted = desk.mint("developer")
    credentials, issued = minted.credentials, sts.issued[0]
    assert credentials.access_key.session_token == issued["SessionToken"]
    assert credentials.secret_access_key == issued["SecretAccessKey"]
    assert 118 < credentials.skew < 122
    assert 3598 < credentials.life <= 3601
    assert re.fullmatch("[0-9a-f-]{36}", minted.request_id or "")


def test_user_agent_names_credhelper(desk):
    assert "credhelper/" in desk.client("developer").meta.config.user_agent


# Where it is sent


@pytest.mark.parametrize(
    ("region", "flags", "url"),
    [
        ("us-east-1", {}, "https://sts.us-east-1.amazonaws.com"),
        ("us-west-2", {}, "https://sts.us-west-2.amazonaws.com"),
        ("cn-north-1", {}, "https://sts.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", {}, "https://sts.us-gov-west-1.amazonaws.com"),
        ("eusc-de-east-1", {}, "https://sts.eusc-de-east-1.amazonaws.eu"),
        ("us-west-2", {"use_fips_endpoint": True}, "https://sts-fips.us-west-2.amazonaws.com"),
        ("us-west-2", {"use_dualstack_endpoint": True}, "https://sts.us-west-2.api.aws"),
    ],
)
@pytest.mark.parametrize("legacy", ["environment", "config"])
def test_assume_root_goes_to_the_regional_endpoint_despite_legacy_settings(desk, region, flags, url, legacy):
    del desk.sandbox.environ["AWS_ENDPOINT_URL_STS"]
    if legacy == "environment":
        desk.setenv(AWS_STS_REGIONAL_ENDPOINTS="legacy")
    else:
        desk.sandbox.aws_config(f"{AWS_CONFIG}sts_regional_endpoints = legacy\n")
    client = desk.client("audit-root@payments-prod", region=region, **flags)
    assert client.meta.endpoint_url == url
    assert client.meta.region_name == region


def test_configured_endpoint_is_used_unless_sdks_ignore_it(desk):
    desk.setenv(AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true")
    assert desk.client("developer").meta.endpoint_url == "https://sts.eu-west-1.amazonaws.com"
    desk.setenv(AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="")
    assert desk.client("developer").meta.endpoint_url == desk.sandbox.environ["AWS_ENDPOINT_URL_STS"]


def test_ca_bundle_is_used_and_a_missing_one_is_an_error(desk, tmp_path):
    bundle = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match=r"'--ca-bundle' names no file: '.*ca\.pem'"):
        desk.mint("developer", ca_bundle=str(bundle))
    bundle.touch()
    client = desk.client("developer", ca_bundle=str(bundle))
    assert client._endpoint.http_session._verify == str(bundle)


def test_timeouts_of_the_profile_apply_to_one_attempt(desk):
    config = desk.client("developer", connect_timeout=2, read_timeout=4).meta.config
    assert (config.connect_timeout, config.read_timeout) == (2, 4)


def test_endpoint_that_botocore_refuses_is_a_configuration_error(desk):
    desk.setenv(AWS_ENDPOINT_URL_STS="not a url")
    with pytest.raises(ConfigError, match="botocore does not accept the endpoint's configuration"):
        desk.mint("developer")
    desk.sandbox.aws_config("[profile org-admin]\nservices = none\naws_access_key_id = A\n")
    del desk.sandbox.environ["AWS_ENDPOINT_URL_STS"]
    with pytest.raises(ConfigError, match="does not exist"):
        desk.mint("developer")


# Through the real program

PROGRAM_FAULTS = [
    case for case in FAULTS if case[3] == 1 or case[0] in (faults.RESET, faults.THROTTLED, faults.CUT_BODY)
]


@pytest.mark.parametrize(
    ("mode", "kind", "said"),
    [case[:3] for case in PROGRAM_FAULTS],
    ids=[case[0].name for case in PROGRAM_FAULTS],
)
def test_broken_answer_ends_the_program_with_its_status_and_no_stdout(sandbox, sts, mode, kind, said):
    sts.mode = mode
    stderr = sandbox.refuses(kind.status, "get", "developer")
    assert said in stderr
    assert "MARKERSECRET" not in stderr
    assert "MARKERSECRET" not in sandbox.log()


def test_client_is_shared_for_one_key_and_old_ones_are_dropped(desk):
    aws, call = desk.aws(), desk.call("unlock-bucket")
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: aws._client(call, SOURCE_KEYS), range(32)))
    assert len(found) == 1
    for number in range(20):
        aws._client(call, AccessKey(f"ASIA{number}", "x", "x"))
    assert len(aws._clients) == aws_sts.CLIENTS
    assert aws._client(call, SOURCE_KEYS) not in found


def test_late_call_does_not_delay_others_on_the_same_client(desk, sts):
    aws, call = desk.aws(), desk.call("developer")
    sts.script.append(faults.slow(3))
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(aws.mint, call, SOURCE_KEYS, None, Deadline(1))
        while not sts.calls:
            time.sleep(0.01)
        assert aws.mint(call, SOURCE_KEYS, None, Deadline(10)).credentials
        with pytest.raises(UnreachableError, match="did not answer within 1 s"):
            late.result()
