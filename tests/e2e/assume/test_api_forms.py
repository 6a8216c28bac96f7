"""`credhelper assume-root` and `assume-role`: the AWS CLI's command lines, answered as a profile's are."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from credhelper.assume import options
from credhelper.cli import assume_output, main
from credhelper.config.keys import API, ROLE, ROOT

import requirements
import sts_faults as faults
from sandbox import AWS_CONFIG, PROFILES, PROGRAM, Sandbox
from sts import SOURCE_KEY_ID, SOURCE_SECRET, LoopbackSts
from terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

ARN = "arn:aws:iam::222233334444:role/Developer"
TASK = "arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"
AS_ROLE = ("assume-role", "--role-arn", ARN, "--role-session-name", "me")
AS_ROOT = ("assume-root", "--target-principal", "111122223333", "--task-policy-arn", TASK)
DEVICE = "arn:aws:iam::999988887777:mfa/me"
SHOWN = (*AS_ROLE, "--output", "response")

EXAMPLE = """\
aws sts assume-root \\
    --duration-seconds 900 \\
    --target-principal 111122223333 \\
    --task-policy-arn arn=arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"""
"""The example in the AWS CLI's reference of assume-root."""
OUTPUT = {"Credentials", "AssumedRoleUser", "PackedPolicySize", "SourceIdentity"}
ROLE_EXAMPLE = (
    "aws sts assume-role --role-arn arn:aws:iam::123456789012:role/xaccounts3access "
    "--role-session-name s3-access-example"
)


def _shell(sandbox: Sandbox, line: str) -> bytes:
    return subprocess.check_output(["sh", "-c", line], env=sandbox.environ)


class TestAnswers:
    def test_documented_examples_give_the_documented_responses_without_config_toml(
        self, sandbox, sts
    ) -> None:
        sandbox.config.unlink()
        sandbox.environ |= {"AWS_PROFILE": "org-admin", "AWS_REGION": "eu-west-1"}
        sts.source_identity = "Alice"
        lines = (each.replace("aws sts", "credhelper") for each in (EXAMPLE, ROLE_EXAMPLE))
        root, role = (json.loads(_shell(sandbox, f"{line} --output response")) for line in lines)
        envelope = sandbox.run(*AS_ROOT).envelope
        user = role["AssumedRoleUser"]

        assert (set(root), root["SourceIdentity"]) == ({"Credentials", "SourceIdentity"}, "Alice")
        assert [root["Credentials"], role["Credentials"]] == sts.issued[:2]
        assert set(sts.issued[0]) == {"SecretAccessKey", "SessionToken", "Expiration", "AccessKeyId"}
        assert user["AssumedRoleId"].endswith(":s3-access-example")
        assert user["Arn"] == "arn:aws:sts::123456789012:assumed-role/xaccounts3access/s3-access-example"
        assert (envelope["Version"], envelope["AccountId"]) == (1, "111122223333")
        assert envelope["SecretAccessKey"] == sts.issued[2]["SecretAccessKey"]

    @pytest.mark.parametrize("kind", [ROOT, ROLE])
    def test_sample_response_has_every_member_of_the_model(self, kind) -> None:
        model = boto3.client("sts", region_name="us-east-1").meta.service_model
        shape = model.operation_model(API[kind]).output_shape

        def names(shape, sample) -> None:
            assert set(shape.members) <= set(sample)
            for name, member in shape.members.items():
                if member.type_name == "structure":
                    names(member, sample[name])

        names(shape, assume_output.SAMPLES[kind])

    def test_cached_response_equals_the_minted_one(self, sandbox, sts, secret_service) -> None:
        line = (*SHOWN, "--source-identity", "alice", "--policy", '{"Statement": []}')
        first, second = sandbox.run(*line).stdout, sandbox.run(*line).stdout

        assert first == second
        assert (set(json.loads(first)), sts.count()) == (OUTPUT, 1)

    @pytest.mark.parametrize(
        ("query", "printed"),
        [
            ("AssumedRoleUser.Arn", b'"arn:aws:sts::222233334444:assumed-role/Developer/me"\n'),
            ("SourceIdentity", b"null\n"),
            ("length(@)", b"2\n"),
        ],
    )
    def test_query_is_applied_to_the_response(self, sandbox, query, printed) -> None:
        assert sandbox.run(*AS_ROLE, "--query", query).stdout == printed

    def test_table_has_every_value_uncut(self, sandbox, sts) -> None:
        sts.token_size = 4000
        shown = sandbox.run(*AS_ROLE, "--output", "table").stdout.decode()

        row = ["Credentials.SessionToken", sts.issued[0]["SessionToken"]]
        assert row in [line.split() for line in shown.splitlines()]
        assert "\x1b" not in shown

    def test_color_option_beats_pipe_and_terminal(self, sandbox) -> None:
        query = ("--query", "AssumedRoleUser", "--output", "table")

        assert b"\x1b[1m" in sandbox.run(*AS_ROLE, *query, "--color", "on", TERM="xterm").stdout
        assert "\x1b" not in sandbox.on_a_terminal(*AS_ROLE, *query, "--color", "off", "--show")[1]

    def test_terminal_is_refused_without_show(self, sandbox, sts) -> None:
        status, shown = sandbox.on_a_terminal(*AS_ROLE)

        assert (status, sts.calls) == (2, [])
        assert "to see it all the same, add --show" in " ".join(shown.split())
        assert sandbox.on_a_terminal(*AS_ROLE, "--show")[0] == 0


DOCUMENTS = [
    {"Credentials": {"AccessKeyId": "A", "Expiration": "Z"}, "SourceIdentity": "me", "PackedPolicySize": 3},
    "text", None, 7, True, ["a", "b", None], [["a", "b"], ["c"]], ["a", ["b"], ["c", "d"]],
    [{"b": 1, "a": 2}, {"a": 3, "c": {"d": 4}}], {"list": ["x", "y"], "nested": [{"k": [1]}]}, {}, [],
]  # fmt: skip


class TestForms:
    def test_text_form_equals_the_aws_clis(self) -> None:
        python = requirements.program(str(Path(__file__).parents[3] / ".venv-awscli/bin/python"))
        script = (
            "import io, json, sys; from awscli.text import format_text\n"
            "def text(d):\n  out = io.StringIO(); format_text(d, out); return out.getvalue()\n"
            "print(json.dumps([text(d) for d in json.load(sys.stdin)]))"
        )
        theirs = subprocess.check_output([python, "-c", script], input=json.dumps(DOCUMENTS), text=True)

        assert [assume_output.rendered(each, "text").decode() for each in DOCUMENTS] == json.loads(theirs)

    def test_json_and_yaml_forms_read_back(self) -> None:
        for each in DOCUMENTS:
            assert json.loads(assume_output.rendered(each, "json")) == each
            assert yaml.safe_load(assume_output.rendered(each, "yaml")) == each
            assert yaml.safe_load(assume_output.rendered(each, "yaml-stream")) == [each]
        assert assume_output.rendered({"b": 1, "a": ["x"]}, "yaml") == b"a:\n- x\nb: 1\n"
        assert assume_output.rendered("text", "yaml") == b'"text"\n'

    @pytest.mark.parametrize("form", assume_output.FORMS)
    def test_control_and_non_ascii_characters_are_escaped(self, form) -> None:
        shown = assume_output.rendered({"a": "\x1b[2J\x9b\u202e\u00e9\u20ac"}, form, color=False)

        assert shown.isascii()
        assert b"\x1b" not in shown
        assert b"\x1b" not in assume_output.rendered({"a": "\x1b[2J\x9b\u202e"}, form)

    def test_missing_yaml_library_is_reported_before_any_call(self, sandbox, sts, tmp_path) -> None:
        (tmp_path / "yaml.py").write_text("raise ImportError")
        output, skeleton = ["--output", "yaml"], ["--generate-cli-skeleton", "yaml-input"]
        for line in (output, ["--cli-input-yaml", "{}"], skeleton):
            said = sandbox.refuses(2, *AS_ROLE, *line, PYTHONPATH=str(tmp_path))
            assert "install credhelper as 'credhelper[yaml]'" in said

        assert sts.calls == []


class TestLikeAProfile:
    def test_the_same_call_by_a_profile_or_form_shares_the_session(
        self, sandbox, sts, secret_service
    ) -> None:
        envelope = sandbox.run(*AS_ROOT, "--reason", "ticket 4711").envelope
        short = ("--target-principal", "payments-prod", "--task-policy-arn", "S3UnlockBucketPolicy")

        assert sandbox.run(*AS_ROOT, "--duration-seconds", "900").envelope == envelope
        assert sandbox.run("assume-root", *short).envelope == sandbox.get("unlock-bucket") == envelope
        assert sts.count() == 1
        (line,) = sandbox.audit()
        call = ("AssumeRoot", "111122223333", "ticket 4711")
        assert (line["api"], line["account"], line["reason"]) == call
        assert line["profile"] == "assume-root S3UnlockBucketPolicy@111122223333"

    def test_ten_processes_with_the_agent_mint_once(self, sandbox, sts) -> None:
        with sandbox.use_agent():
            sts.script.append(faults.slow(1))
            started = [sandbox.start(*AS_ROLE) for _ in range(10)]

            assert len({sandbox.finish(each).stdout for each in started}) == 1
        assert sts.count() == 1

    def test_refresh_no_cache_and_clear_act_as_for_a_profile(self, sandbox, sts, secret_service) -> None:
        cached = sandbox.run(*AS_ROLE).stdout

        assert sandbox.run(*AS_ROLE, "--no-cache").stdout != cached
        assert sandbox.run(*AS_ROLE).stdout == cached
        assert sandbox.run(*AS_ROLE, "--refresh").stdout != cached
        assert sts.count() == 3
        assert b"forgotten here" in sandbox.run("clear", f"assume-role {ARN}").stdout

    def test_defaults_apply_to_api_forms(self, sandbox, sts) -> None:
        rules = '[defaults]\nrequire_reason = true\nsource_identity = "{reason}"'
        sandbox.configure(PROFILES.replace("[defaults]", rules))

        assert "needs a reason" in sandbox.refuses(5, *AS_ROLE)
        sandbox.run(*AS_ROLE, "--reason", "ticket-1")
        assert sts.calls[-1].parameters["SourceIdentity"] == "ticket-1"

    @pytest.mark.parametrize("seconds", [0, 30])
    def test_duration_below_a_minute_is_for_api_forms_only(
        self, sandbox, sts, secret_service, seconds
    ) -> None:
        line = (*AS_ROOT, "--duration-seconds", str(seconds), "--output", "response")
        document = json.loads(sandbox.run(*line).stdout)

        assert document["Credentials"] == sts.issued[-1]
        assert "must be 60 to 900" in sandbox.refuses(2, "get", "unlock-bucket", "--duration-seconds", "30")


OTHER_PROFILES = """
[profile other]
aws_access_key_id = AKIAOTHER00000000000
aws_secret_access_key = other

[default]
aws_access_key_id = AKIADEFAULT000000000
aws_secret_access_key = default
"""
KEY = {"AWS_ACCESS_KEY_ID": "AKIAENV0000000000000", "AWS_SECRET_ACCESS_KEY": "env"}


class TestSources:
    @pytest.mark.parametrize(
        ("flags", "environ", "signer"),
        [
            ([], {}, SOURCE_KEY_ID),
            (["--profile", "other"], {}, "AKIAOTHER00000000000"),
            ([], {"AWS_PROFILE": "other"}, "AKIAOTHER00000000000"),
            ([], {**KEY, "AWS_PROFILE": "other"}, "AKIAENV0000000000000"),
            (["--profile", "org-admin"], KEY, SOURCE_KEY_ID),
        ],
    )
    def test_signer_follows_the_aws_clis_order(self, sandbox, sts, flags, environ, signer) -> None:
        sandbox.aws_config(AWS_CONFIG + OTHER_PROFILES)
        sandbox.run(*AS_ROLE, *flags, **environ)

        assert sts.calls[-1].access_key_id == signer

    def test_envelope_on_stdin_signs_the_call(self, sandbox, sts) -> None:
        line = f"{PROGRAM} get developer | {PROGRAM} {' '.join(AS_ROOT)} --credential-stdin"

        assert json.loads(_shell(sandbox, line))["AccountId"] == "111122223333"
        assert [call.action for call in sts.calls] == ["AssumeRole", "AssumeRoot"]
        assert sts.calls[1].access_key_id == sts.issued[0]["AccessKeyId"]

    def test_long_lived_key_on_stdin_signs_without_a_session_token(self, sandbox, sts) -> None:
        keys = json.dumps({"AccessKeyId": SOURCE_KEY_ID, "SecretAccessKey": SOURCE_SECRET})
        process = sandbox.start(*AS_ROLE, "--credential-stdin", AWS_SESSION_TOKEN="another key's")
        stdout, _ = process.communicate(keys.encode())

        assert json.loads(stdout)["AccessKeyId"] == sts.issued[0]["AccessKeyId"]

    @pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"AccessKeyId": 5, "SecretAccessKey": "x"}'])
    def test_stdin_without_keys_exits_2_and_is_not_quoted(self, sandbox, sts, text) -> None:
        process = sandbox.start(*AS_ROLE, "--credential-stdin")
        stdout, stderr = process.communicate(text)

        assert (process.returncode, stdout, sts.calls) == (2, b"", [])
        assert stderr.startswith(b"credhelper: error: stdin has no credentials\n")


class TestMfa:
    def test_token_code_goes_with_the_call_and_is_kept_nowhere(self, sandbox, sts, secret_service) -> None:
        sts.mfa_codes = {DEVICE: "123456"}
        for code in ("123456", "123456", "999999"):
            sandbox.run(*AS_ROLE, "--serial-number", DEVICE, "--token-code", code)

        assert [call.action for call in sts.calls] == ["AssumeRole"]
        assert sts.calls[0].parameters["TokenCode"] == "123456"
        assert not any("123456" in path.read_text() for path in sandbox.files() if path.is_file())

    def test_rejected_token_code_does_not_prompt(self, sandbox, sts) -> None:
        sts.mfa_codes = {DEVICE: "654321"}
        result = sandbox.run(*AS_ROLE, "--serial-number", DEVICE, "--token-code", "123456")

        assert result.status in (4, 5)
        assert sts.count() == 1


class TestTls:
    @pytest.fixture(name="secure")
    def _secure(self, tmp_path) -> Iterator[tuple[LoopbackSts, str, str]]:
        """An STS behind a certificate of its own: the server, its https url and the certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
        now, address = datetime.now(timezone.utc), x509.IPAddress(ip_address("127.0.0.1"))
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem, private = tmp_path / "certificate.pem", tmp_path / "key.pem"
        pem.write_bytes(certificate.public_bytes(Encoding.PEM))
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem, private)
        with LoopbackSts() as server:
            plain = server._server
            plain.socket = context.wrap_socket(plain.socket, server_side=True, do_handshake_on_connect=False)
            yield server, server.url.replace("http:", "https:"), str(pem)

    def test_unknown_certificate_exits_6_unless_in_the_bundle(self, sandbox, secure, secret_service) -> None:
        server, url, pem = secure
        line = (*AS_ROLE, "--endpoint-url", url)

        assert "TLS connection" in sandbox.refuses(6, *line)
        assert server.calls == []
        assert sandbox.run(*line, "--ca-bundle", pem).envelope

    def test_unverified_session_is_not_cached_and_recorded(self, sandbox, secure, secret_service) -> None:
        server, url, _ = secure
        line = (*AS_ROLE, "--endpoint-url", url, "--no-verify-ssl")
        with sandbox.use_agent():
            assert sandbox.run(*line).stdout != sandbox.run(*line).stdout
            assert b'"sessions": []' in sandbox.run("agent", "status", "--json").stdout

        assert server.count() == 2
        assert not (sandbox.state / "items.jsonl").exists()
        assert [each["certificate"] for each in sandbox.audit()] == ["not verified"] * 2
        assert "--no-verify-ssl: TLS is not verified" in sandbox.log()
        status, shown = sandbox.on_a_terminal(*line, "--show")
        assert status == 0
        assert "warning: --no-verify-ssl: TLS is not verified" in " ".join(shown.split())
        sandbox.run(*AS_ROLE)
        assert sandbox.audit()[-1]["certificate"] is None

    def test_no_verify_ssl_is_no_flag_or_key_of_a_profile(self, sandbox) -> None:
        assert "no such option" in sandbox.refuses(2, "get", "developer", "--no-verify-ssl")
        sandbox.configure(PROFILES + "verify_ssl = false\n")
        assert "is not a known key" in sandbox.refuses(2, "get", "developer")


MISTAKES = [
    (AS_ROOT, ["--duration-seconds", "901"], "'--duration-seconds' must be 0 to 900 seconds"),
    (AS_ROOT, ["--duration-seconds", "-1"], "'--duration-seconds' must be 0 to 900 seconds"),
    (AS_ROOT, ["--duration-seconds", "soon"], "'--duration-seconds' must be a whole number"),
    (AS_ROOT, ["--task-policy-arn", "S3UnlockBuketPolicy"], "did you mean 'S3UnlockBucketPolicy'"),
    (AS_ROOT, ["--task-policy-arn", "arn=S3UnlockBuketPolicy"], "did you mean 'S3UnlockBucketPolicy'"),
    (AS_ROOT, ["--task-policy-arn", "arm=x"], "'--task-policy-arn' has no member"),
    (AS_ROOT, ["--task-policy-arn", '{"arn": 5}'], "'--task-policy-arn' must be a string"),
    (AS_ROOT, ["--task-policy-arn", "{"], "'--task-policy-arn' is not valid JSON"),
    (AS_ROOT, ["--target-principal", "11112222333"], "neither an account id nor an alias"),
    (AS_ROOT, ["--target-principal", "paymnts-prod"], "did you mean 'payments-prod'"),
    (AS_ROOT, ["--region", "aws-global"], "say --region"),
    (AS_ROOT, ["--region", "cn-north-1"], "is not in the partition of region 'cn-north-1'"),
    (AS_ROOT, ["--no-sign-request"], "AWS answers no unsigned AssumeRoot"),
    (AS_ROOT, ["--role-arn", ARN], "no such option"),
    (AS_ROLE, ["--duration-seconds", "899"], "'--duration-seconds' must be 900 to 43200"),
    (AS_ROLE, ["--role-arn", "Developer"], "'--role-arn' must be 20 to 2048 characters"),
    (AS_ROLE, ["--role-session-name", "two words"], "'--role-session-name' has a value that does not fit"),
    (AS_ROLE, ["--token-code", "12345", "--serial-number", DEVICE], "'--token-code' must be the 6 digits"),
    (AS_ROLE, ["--token-code", "123456"], "needs '--serial-number'"),
    (AS_ROLE, ["--serial-number", "short"], "'--serial-number' must be 9 to 256 characters"),
    (AS_ROLE, ["--policy", "not json"], "'--policy' is not valid JSON"),
    (AS_ROLE, ["--policy", "file://nowhere.json"], "cannot read 'nowhere.json': no such file"),
    (AS_ROLE, ["--tags", "Key=a,Value=1", "Key=a,Value=2"], "'--tags' has the Key 'a' twice"),
    (AS_ROLE, ["--tags", "Key=a"], "'--tags' lacks Value"),
    (AS_ROLE, ["--tags", "Kye=a,Value=b"], "did you mean 'Key'"),
    (AS_ROLE, ["--tags", '[{"Key": "a", "Value": 5}]'], "'--tags' must be a table of strings"),
    (AS_ROLE, ["--tags", '{"Key": "a", "Value": "b"}', "--tags", "Key=c,Value=d"], "is given twice"),
    (AS_ROLE, ["--policy-arns", "ReadOnlyAccess"], "'--policy-arns' has a value that does not fit"),
    (AS_ROLE, ["--cli-input-json", "[]"], "must be an object"),
    (AS_ROLE, ["--cli-input-json", '{"RoleARN": 1}'], "unknown parameter 'RoleARN', did you mean 'RoleArn'"),
    (AS_ROLE, ["--cli-input-json", '{"Tags": {"Key": "a"}}'], "'--tags' must be a list"),
    (AS_ROLE, ["--cli-input-json", '{"DurationSeconds": "900"}'], "'--duration-seconds' must be a whole"),
    (AS_ROLE, ["--cli-input-json", "{}", "--cli-input-yaml", "{}"], "are two requests: give one"),
    (AS_ROLE, ["--cli-input-yaml", "]"], "'--cli-input-yaml' is not valid YAML"),
    (AS_ROLE, ["--cli-read-timeout", "-1"], "'--cli-read-timeout' must be 1 to 10"),
    (AS_ROLE, ["--endpoint-url", "http://sts.example.com"], "'--endpoint-url' must be https"),
    (AS_ROLE, ["--ca-bundle", "/nowhere.pem"], "'--ca-bundle' names no file"),
    (AS_ROLE, ["--query", "a["], "'--query' cannot be used"),
    (AS_ROLE, ["--query", "abs(Credentials.SecretAccessKey)"], "'--query' cannot be used: In function abs()"),
    (AS_ROLE, ["--output", "xml"], "invalid value for '--output'"),
    (AS_ROLE, ["--cli-binary-format", "hex"], "invalid value for '--cli-binary-format'"),
    (AS_ROLE, ["--query", "&SourceIdentity"], "'--query' cannot be used: it finds an expression"),
    (AS_ROLE, ["--query", "[&a, Credentials]"], "'--query' cannot be used: it finds an expression"),
    (AS_ROLE, ["--query", 'to_number(`"1e999"`)'], "it finds a number that is not finite"),
    (AS_ROLE, ["--tags"], "'--tags' has no value"),
    (AS_ROLE, ["--transitive-tag-keys", "--show"], "'--transitive-tag-keys' has no value"),
    (("assume-role", "--role-arn", ARN), ["--role-session", "me"], "no such option"),
    (AS_ROLE, ["--cli-input-yaml", "DurationSeconds: 0x384"], "must be a whole number, not '0x384'"),
    (AS_ROLE, ["--cli-input-yaml", "DurationSeconds: ~"], "must be a whole number, not '~'"),
    (AS_ROLE, ["--credential-stdin", "--profile", "x"],
     "error: '--credential-stdin' and '--profile' both say whose keys sign: give one"),
    (AS_ROLE, ["extra"], "unexpected extra argument"),
    (("assume-root", "--target-principal", "111122223333"), [], "'--task-policy-arn' is missing"),
    (("assume-root", "--task-policy-arn", TASK), [], "'--target-principal' is missing"),
    (("assume-role",), [], "'--role-arn' is missing"),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda each: " ".join(each[1])[:50])
def test_mistake_exits_2_before_any_call(in_process, sts, capfd, mistake) -> None:
    line, more, message = mistake
    status = main.main([*line, *more])
    stdout, stderr = capfd.readouterr()

    assert (status, stdout, sts.calls) == (2, "", [])
    assert message in stderr.replace("\ncredhelper: hint: ", ", ")


@pytest.mark.parametrize(
    "query",
    [
        "abs(not_null(SourceIdentity && `1`, Credentials.SessionToken))",
        "SourceIdentity && 'fits the sample' || &SourceIdentity",
        "SourceIdentity && 'fits the sample' || `1e999`",
    ],
)
def test_query_that_fails_on_the_answer_exits_1_and_quotes_no_secret(sandbox, sts, query) -> None:
    message = "credhelper: error: '--query' does not fit what STS has answered\n"

    assert sandbox.refuses(1, *AS_ROLE, "--query", query) == message
    assert sts.count() == 1


@pytest.mark.parametrize(
    ("policy", "meant"),
    [
        ("root-task/S3UnlockBucketPolcy", "hint: did you mean 'S3UnlockBucketPolicy'\n"),
        ("S3UnlockBucketPolicy", "hint: did you mean 'S3UnlockBucketPolicy'\n"),
        ("root-task/S3UnlockBucketPolicy", ""),
        ("root-task/BedrockForgetEverything", ""),
    ],
)
def test_refused_task_policy_hints_at_the_nearest_name(sandbox, sts, policy, meant) -> None:
    sts.mode = faults.refuse("AccessDenied", "no")
    arn = f"arn:aws:iam::aws:policy/{policy}"
    shown = sandbox.refuses(4, *AS_ROOT[:-1], f"arn={arn}")

    assert sts.calls[0].parameters["TaskPolicyArn"] == {"arn": arn}
    assert shown.count("did you mean") == bool(meant)
    assert meant in shown


class TestSkeletons:
    @pytest.mark.parametrize("verb", [AS_ROOT, AS_ROLE])
    def test_skeleton_has_every_parameter_of_the_model(self, sandbox, sts, verb) -> None:
        document = json.loads(sandbox.run(verb[0], "--generate-cli-skeleton").stdout)
        as_yaml = sandbox.run(verb[0], "--generate-cli-skeleton", "yaml-input").stdout
        kind = ROOT if verb is AS_ROOT else ROLE
        model = boto3.client("sts", region_name="us-east-1").meta.service_model

        assert set(document) == set(model.operation_model(API[kind]).input_shape.members)
        assert yaml.safe_load(as_yaml) == document == options.skeleton(kind)
        assert sts.calls == []

    def test_filled_in_skeleton_is_accepted(self, sandbox, sts) -> None:
        document = json.loads(sandbox.run("assume-root", "--generate-cli-skeleton", "input").stdout)
        document |= {"TargetPrincipal": "111122223333", "TaskPolicyArn": {"arn": TASK}, "DurationSeconds": 60}
        sandbox.run("assume-root", "--cli-input-json", json.dumps(document))

        assert sts.calls[0].parameters == document

    def test_output_skeleton_is_printed_after_checking_the_request(self, sandbox, sts) -> None:
        output = ("--generate-cli-skeleton", "output")

        assert json.loads(sandbox.run(*AS_ROOT, *output).stdout) == assume_output.SAMPLES[ROOT]
        assert sandbox.on_a_terminal(*AS_ROLE, *output)[0] == 0
        sandbox.refuses(2, *AS_ROLE, *output, "--duration-seconds", "1")
        assert sts.calls == []


@pytest.mark.parametrize(("flags", "environ"), [(["--debug"], {}), ([], {"CREDHELPER_LOG": "debug"})])
def test_debug_log_has_the_steps_of_a_mint_without_secrets(sandbox, sts, flags, environ) -> None:
    code = "274911"
    mfa = ("--serial-number", DEVICE, "--token-code", code, "--external-id", "between-us")
    with sandbox.use_agent():
        for _ in range(2):
            sandbox.run(*AS_ROLE, *mfa, *flags, **environ)
    (record,) = sandbox.audit()
    name = f"assume-role {ARN}"
    steps = [line.partition(" debug: ")[2] for line in sandbox.log().splitlines()]

    assert f"{name}: the source is AWS profile 'org-admin'" in steps
    sent = f"{name}: AssumeRole on {ARN} in eu-west-1, signed with {SOURCE_KEY_ID} and an MFA code"
    host = sts.url.removeprefix("http://").rstrip("/")
    answered = f"{name}: {host} answered request {record['request_id']}, valid until {record['expires']}"
    assert steps.index(sent) + 1 == steps.index(answered)
    for secret in (sts.secret_marker, SOURCE_SECRET, code, "between-us"):
        assert secret not in sandbox.log()


def test_debug_log_has_the_error_of_a_failed_mint(sandbox, sts) -> None:
    sts.mode = faults.refuse("AccessDenied", "no")
    sandbox.refuses(4, *AS_ROOT, "--debug")

    assert "assume-root S3UnlockBucketPolicy@111122223333: AccessDenied: not allowed: sts:A" in sandbox.log()


def test_auto_prompt_asks_for_a_missing_parameter(sandbox, sts) -> None:
    line = ["assume-root", "--target-principal", "111122223333", "--cli-auto-prompt", "--show"]
    terminal = Terminal(sandbox, [PROGRAM, *line])
    terminal.sees("--task-policy-arn: ")
    terminal.types("S3UnlockBucketPolicy\n")

    assert terminal.leaves()[0] == 0
    assert sts.calls[0].parameters["TaskPolicyArn"] == {"arn": TASK}
    assert "no prompt is possible" in sandbox.refuses(5, *line, CREDHELPER_PROMPT="none")


def test_help_lists_api_forms_apart(sandbox) -> None:
    text = sandbox.run("--help").stdout.decode()

    commands, forms = text.split("API forms:")
    assert "assume-ro" not in commands
    assert {"assume-role", "assume-root"} == set(re.findall("assume-ro[a-z]+", forms))
    assert sandbox.run(*AS_ROLE, "--version").stdout == sandbox.run("--version").stdout
