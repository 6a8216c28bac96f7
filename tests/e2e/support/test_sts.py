"""The loopback STS behaves like STS, according to botocore's own client."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

import sts_faults as faults
from sts import DURATION_SECONDS, SOURCE_KEY_ID, SOURCE_SECRET, LoopbackSts

AUDIT = {"arn": "arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials"}
ROOT = {"TargetPrincipal": "111122223333", "TaskPolicyArn": AUDIT}
ROLE = {"RoleArn": "arn:aws:iam::111122223333:role/team/reader", "RoleSessionName": "me@example.com"}
AT_LEAST, AT_MOST = "greater than or equal to", "less than or equal to"
TOO_LONG = f"'durationSeconds' failed to satisfy constraint: Member must have value {AT_MOST} 900$"
MFA = {"SerialNumber": "arn:aws:iam::999988887777:mfa/me", "TokenCode": "123456"}
BOTO3 = boto3.Session()  # one, because loading the model takes longer than most tests
SOURCE = {"AccessKeyId": SOURCE_KEY_ID, "SecretAccessKey": SOURCE_SECRET}


def client(sts, credentials=SOURCE, region="us-east-1"):
    """boto3's client, with the source key or minted credentials, without retries."""
    return BOTO3.client(
        "sts",
        region_name=region,
        endpoint_url=sts.url,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials.get("SessionToken"),
        config=Config(retries={"total_max_attempts": 1}, read_timeout=5, parameter_validation=False),
    )


def refusal(call, **parameters):
    """Status, code and message of the error of a call."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error: Any = caught.value.response
    return error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"], error["Error"]["Message"]


def seconds_left(answer):
    """How long minted credentials last from now."""
    left: timedelta = answer["Credentials"]["Expiration"] - datetime.now(timezone.utc)
    return left.total_seconds()


@pytest.mark.parametrize(
    ("operation", "parameters"), [("assume_root", ROOT), ("assume_role", ROLE), ("get_session_token", {})]
)
def test_each_mint_returns_credentials(sts, operation, parameters):
    answer = getattr(client(sts, region="eu-west-1"), operation)(**parameters)
    credentials, call = answer["Credentials"], sts.calls[0]
    assert re.fullmatch("ASIA[A-Z2-7]{16}", credentials["AccessKeyId"])
    assert re.fullmatch(rf"{sts.secret_marker}[\w+/]{{20}}", credentials["SecretAccessKey"])
    assert re.fullmatch(rf"{sts.secret_marker}TOKEN[\w+/=]{{675}}", credentials["SessionToken"])
    assert DURATION_SECONDS[call.action] - 5 < seconds_left(answer) <= DURATION_SECONDS[call.action]
    assert (call.parameters, call.access_key_id) == (parameters, SOURCE_KEY_ID)
    assert (call.region, f"http://{call.host}", call.outcome) == ("eu-west-1", sts.url, "OK")
    assert sts.issued[0]["AccessKeyId"] == credentials["AccessKeyId"]
    assert (sts.count(), sts.count(call.action), sts.count("GetCallerIdentity")) == (1, 1, 0)


def test_get_caller_identity_names_the_user_the_role_or_the_root_that_signed(sts):
    me = client(sts)
    role, root = me.assume_role(**ROLE), me.assume_root(**ROOT)
    signers = (SOURCE, role["Credentials"], root["Credentials"])
    arns = [client(sts, signer).get_caller_identity()["Arn"] for signer in signers]
    assert arns == [
        "arn:aws:iam::999988887777:user/me",
        "arn:aws:sts::111122223333:assumed-role/reader/me@example.com",
        "arn:aws:iam::111122223333:root",
    ]
    assert role["AssumedRoleUser"]["Arn"] == arns[1]


def test_lists_and_structures_are_recorded_as_sent(sts):
    sent = {
        **ROLE,
        "Tags": [{"Key": "team", "Value": "a b"}, {"Key": "empty", "Value": ""}],
        "TransitiveTagKeys": ["team"],
        "PolicyArns": [],
        "Policy": '{"Version": "2012-10-17"}',
        "SourceIdentity": "me<&>",
        "DurationSeconds": 900,
    }
    assert "Member must satisfy" in refusal(client(sts).assume_role, **sent)[2]
    assert sts.calls[0].parameters == sent
    answer = client(sts).assume_role(**{**sent, "SourceIdentity": "me"})
    assert (answer["SourceIdentity"], answer["PackedPolicySize"]) == ("me", 2)


@pytest.mark.parametrize(
    ("base", "changed", "message"),
    [
        (ROOT, {"DurationSeconds": 901}, f"^1 validation error detected: Value '901' at {TOO_LONG}"),
        (
            ROOT,
            {"TaskPolicyArn": {"arn": "short"}},
            f"'taskPolicyArn.arn' .* length {AT_LEAST} 20",
        ),
        (ROOT, {"TargetPrincipal": "not an account"}, "not an account is invalid"),
        (ROLE, {"DurationSeconds": 899}, f"value {AT_LEAST} 900"),
        (ROLE, {"DurationSeconds": "soon"}, "Value 'soon' at 'durationSeconds' .* must be an integer"),
        (ROLE, {"RoleSessionName": "a b\n"}, r"regular expression pattern: \[\\w\+=,\.@-\]\*"),
        (
            ROLE,
            {"RoleSessionName": "é" * 65},
            f"2 validation errors detected: .* length {AT_MOST} 64",
        ),
        (ROLE, {"Tags": [{"Key": "k"}]}, "Value null at 'tags.1.member.value' .* must not be null"),
        (ROLE, {"TransitiveTagKeys": ["k"] * 51}, f"'transitiveTagKeys' .* length {AT_MOST} 50"),
        (ROLE, {"RoleArn": "arn:aws:iam::1:user/someone"}, "is invalid"),
    ],
)
def test_broken_constraint_is_refused(sts, base, changed, message):
    operation = client(sts).assume_root if base is ROOT else client(sts).assume_role
    status, code, text = refusal(operation, **{**base, **changed})
    assert (status, code) == (400, "ValidationError")
    assert re.search(message, text)


def test_missing_and_unknown_members_are_refused(sts):
    me = client(sts)
    assert "Value null at 'roleSessionName'" in refusal(me.assume_role, RoleArn=ROLE["RoleArn"])[2]
    me.meta.events.register("before-call.sts", lambda params, **_: params["body"].update(Unheard="of"))
    assert "at 'Unheard'" in refusal(me.assume_root, **ROOT)[2]


def test_unknown_actions_and_assume_root_at_the_global_endpoint_are_invalid(sts):
    invalid = "Could not find operation {} for version 2011-06-15".format
    refused = refusal(client(sts).get_access_key_info, AccessKeyId=SOURCE_KEY_ID)
    assert refused == (400, "InvalidAction", invalid("GetAccessKeyInfo"))
    me = client(sts)
    me.meta.events.register(
        "before-sign.sts", lambda request, **_: request.headers.add_header("Host", "sts.amazonaws.com")
    )
    for at_global in (me, client(sts, region="aws-global")):
        assert refusal(at_global.assume_root, **ROOT)[2] == invalid("AssumeRoot")
        assert at_global.assume_role(**ROLE)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"AccessKeyId": "ASIAUNKNOWN"}, "InvalidClientTokenId"),
        ({"SessionToken": "another"}, "InvalidClientTokenId"),
        ({"SecretAccessKey": "another"}, "SignatureDoesNotMatch"),
    ],
)
def test_wrong_keys_are_refused(sts, changes, code):
    minted = client(sts).assume_root(**ROOT)["Credentials"]
    assert refusal(client(sts, {**minted, **changes}).get_caller_identity)[:2] == (403, code)


@pytest.mark.parametrize(
    ("part", "old", "new"),
    [
        ("body", "$", "&"),
        ("url", "$", "?x"),
        ("X-Amz-Date", "Z", "Z, 1"),
        ("X-Amz-More", "$", "1"),
        ("Authorization", r"/\d{8}/", "/20200101/"),
        ("Authorization", "/us-east-1/", "/us-east-2/"),
    ],
)
def test_changed_request_does_not_match(sts, part, old, new):
    def tamper(request, **_):
        if part == "body":
            request.body += new
            request.headers["Content-Length"] = str(len(request.body))
        elif part == "url":
            request.url += new
        else:
            was = request.headers.get(part, b"")
            request.headers[part] = re.sub(old, new, was.decode() if isinstance(was, bytes) else was, count=1)

    me = client(sts)
    me.meta.events.register("before-send.sts", tamper)
    code = refusal(me.get_caller_identity)[1]
    assert code == ("IncompleteSignature" if part == "X-Amz-Date" else "SignatureDoesNotMatch")


@contextmanager
def unsigned(sts, action):
    """Send a request without a signature; the mode still applies to the answer."""
    connection = http.client.HTTPConnection(sts.url.removeprefix("http://"), timeout=5)
    with closing(connection):
        connection.request("POST", "/", f"Action={action}&Version=2011-06-15")
        with connection.getresponse() as answer:
            yield answer


def test_request_without_a_signature_is_refused(sts):
    with unsigned(sts, "GetCallerIdentity") as answer:
        assert answer.status == 403
        assert b"<Code>MissingAuthenticationToken</Code>" in answer.read()


def test_signature_too_far_from_the_clock_is_refused(sts):
    sts.clock_offset = 240
    answer = client(sts).get_caller_identity()
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    ahead = datetime.strptime(headers["date"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=timezone.utc)
    assert 235 < (ahead - datetime.now(timezone.utc)).total_seconds() <= 240
    assert headers["x-amzn-requestid"] == answer["ResponseMetadata"]["RequestId"]
    for offset, words in (
        (3600, r"expired: \w+ is now earlier than \w+ \(\w+ - 5 min\.\)"),
        (-3600, r"not yet current: \w+ is still later than \w+ \(\w+ \+ 5 min\.\)"),
    ):
        sts.clock_offset = offset
        status, code, message = refusal(client(sts).get_caller_identity)
        assert (status, code) == (403, "SignatureDoesNotMatch")
        assert re.fullmatch(f"Signature {words}", message)


def test_unchecked_clock_accepts_any_date():
    with LoopbackSts(check_clock=False, clock_offset=3600) as sts:
        assert 4490 < seconds_left(client(sts).assume_root(**ROOT)) <= 4500


def test_expired_credentials_are_refused(sts):
    sts.mode = faults.expires_in(0)
    late = client(sts, client(sts).assume_root(**ROOT)["Credentials"])
    expired = (403, "ExpiredToken", "The security token included in the request is expired")
    assert refusal(late.get_caller_identity) == expired


def test_session_cannot_get_a_token_nor_chain_a_role_beyond_an_hour(sts):
    session = client(sts, client(sts).assume_role(**ROLE)["Credentials"])
    denied = (403, "AccessDenied", "Cannot call GetSessionToken with session credentials")
    assert refusal(session.get_session_token) == denied
    assert "role chaining" in refusal(session.assume_role, **ROLE, DurationSeconds=3601)[2]
    assert session.assume_role(**ROLE, DurationSeconds=3600)


def test_mfa_code_works_once_and_only_for_its_serial(sts):
    me = client(sts)
    denied = (403, "AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code. ")
    assert me.get_session_token(**MFA)
    assert refusal(me.get_session_token, **MFA) == denied
    assert refusal(me.assume_role, **ROLE, **MFA) == denied
    sts.mfa_codes = {MFA["SerialNumber"]: "654321", "GAHT12345678": lambda code: code.startswith("1")}
    assert refusal(me.get_session_token, **MFA) == denied
    assert refusal(me.get_session_token, **{**MFA, "SerialNumber": "arn:another"}) == denied
    assert me.assume_role(**ROLE, **{**MFA, "SerialNumber": "GAHT12345678"})
    assert "must provide both" in refusal(me.get_session_token, SerialNumber=MFA["SerialNumber"])[2]


def test_token_size_and_source_identity_can_be_set(sts):
    sts.token_size, sts.source_identity = 100, "someone"
    answer = client(sts).assume_root(**ROOT)
    assert (len(answer["Credentials"]["SessionToken"]), answer["SourceIdentity"]) == (100, "someone")
    wide = client(sts).assume_root(**ROOT, MinimumSessionTokenSize=4096)
    assert len(wide["Credentials"]["SessionToken"]) == 4096


def test_reset_keeps_only_minted_sessions(sts):
    minted = client(sts).get_session_token(**MFA)["Credentials"]
    sts.script.append(faults.HANG)
    sts.mode, sts.clock_offset = faults.HANG, 3600
    sts.reset()
    assert (sts.count(), sts.calls, sts.issued) == (0, [], [])
    assert client(sts, minted).assume_role(**ROLE, **MFA)


def test_each_scripted_mode_applies_to_one_mint(sts):
    me = client(sts)
    sts.script.extend([faults.THROTTLED, faults.NORMAL])
    sts.mode = faults.status_xml(503)
    assert me.get_caller_identity()
    assert refusal(me.assume_root, **ROOT) == (400, "Throttling", "Rate exceeded")
    assert me.assume_root(**ROOT)
    assert refusal(me.assume_root, **ROOT)[:2] == (503, "ServiceUnavailable")
    assert [call.outcome for call in sts.calls] == ["OK", "Throttling", "OK", "ServiceUnavailable"]
    assert len(sts.issued) == 1
    sts.mode = replace(sts.mode, every_action=True)
    assert refusal(me.get_caller_identity)[1] == "ServiceUnavailable"


def test_error_message_keeps_its_control_characters(sts):
    sts.mode = faults.CONTROL_CHARS
    message = refusal(client(sts).assume_root, **ROOT)[2]
    assert {"\n", "\x9b", "\x7f", "\u2028", "\u202e"} <= set(message)


@pytest.mark.parametrize("mode", [faults.HUGE, faults.HUGE_CHUNKED], ids=["sized", "chunked"])
def test_huge_answer_has_50_mib(sts, mode):
    sts.mode = mode
    with unsigned(sts, "AssumeRoot") as answer:
        size = sum(len(piece) for piece in iter(lambda: answer.read(2**20), b""))
    assert 49 * 2**20 < size < 51 * 2**20


@pytest.mark.alone
@pytest.mark.parametrize(
    ("mode", "start"), [(faults.DRIP, b"<ErrorRes"), (faults.DRIP_HEADERS, b"HTTP/1.1 ")]
)
def test_dripping_answer_sends_single_bytes(sts, mode, start):
    sts.mode = mode
    with socket.create_connection(("127.0.0.1", int(sts.url.rpartition(":")[2]))) as connection:
        body = b"Action=AssumeRoot&Version=2011-06-15"
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        if mode is faults.DRIP:
            assert connection.recv(4096).endswith(b"\r\n\r\n")
        started = time.monotonic()
        assert [connection.recv(4096) for _ in start] == [bytes([byte]) for byte in start]
        assert time.monotonic() - started > (len(start) - 2) * faults.DRIP_SECONDS


def test_reset_connection_is_not_closed_in_order(sts):
    sts.mode = faults.RESET
    with pytest.raises(ConnectionResetError) as caught, unsigned(sts, "AssumeRoot"):
        pass
    assert caught.type is ConnectionResetError


def test_client_that_leaves_prints_nothing(sts, capfd):
    sts.mode = faults.HUGE
    with unsigned(sts, "AssumeRoot"):
        pass
    while any("process_request" in thread.name for thread in threading.enumerate()):
        time.sleep(0.01)
    assert capfd.readouterr().err == ""


def test_captive_portal_page_exists(sts):
    with urlopen(f"{sts.url}/portal", timeout=5) as page:
        assert b"Sign in" in page.read()


def test_server_stops_while_clients_hang():
    def ask(sts):
        with unsigned(sts, "AssumeRoot") as answer:
            return answer.read()

    with LoopbackSts(mode=faults.HANG, script=deque([faults.DRIP, faults.slow(60)])) as sts:
        pool = ThreadPoolExecutor(6)
        answers = [pool.submit(ask, sts) for _ in range(6)]
        while sts.count() < 6:
            time.sleep(0.01)
        started = time.monotonic()
    assert time.monotonic() - started < 10  # others hang for ever, or drip for minutes
    assert len(wait(answers, timeout=10).done) == 6


def test_simultaneous_callers_get_credentials_of_their_own(sts):
    me = client(sts)
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: me.assume_root(**ROOT), range(120)))
    assert len({answer["Credentials"]["AccessKeyId"] for answer in answers}) == sts.count() == 120


@pytest.mark.parametrize("by", ["stdin", "SIGTERM"])
def test_program_ends_with_its_stdin_or_sigterm(by):
    program = [sys.executable, str(Path(__file__).parents[2] / "support/sts.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert urlopen(url, timeout=5).status == 200
        if by == "SIGTERM":
            process.send_signal(signal.SIGTERM)
            process.wait(5)
        assert process.communicate("", timeout=5) == ("", "")
        assert process.returncode == 0
