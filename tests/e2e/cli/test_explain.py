"""`credhelper explain`: the calls of a profile, the origin of its settings, the prompts to expect."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.loaders
import pytest

from credhelper.config import keys
from credhelper.config.aws_names import TASKS

import shapes
from sandbox import AWS_CONFIG, PROFILES
from sts import SOURCE_KEY_ID

if TYPE_CHECKING:
    from sandbox import Sandbox
    from sts import LoopbackSts

DEVICE = "arn:aws:iam::999988887777:mfa/me"
MORE = """
[profiles.full]
role_arn = "arn:aws:iam::333344445555:role/team/Full"
role_session_name = "{user}-{reason}"
policy = '{"Version": "2012-10-17"}'
policy_arns = ["arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::aws:policy/ViewOnlyAccess"]
tags = { team = "payments", reason = "{reason}" }
transitive_tag_keys = ["team"]
external_id = "4711-example"
source_identity = "{user}"
duration_seconds = 1800

[profiles.chained]
role_arn = "arn:aws:iam::333344445555:role/Chained"
source_profile = "via-aws"

[profiles.coded]
role_arn = "arn:aws:iam::333344445555:role/Coded"
mfa_serial = "arn:aws:iam::999988887777:mfa/me"
mfa_command = ["printf", "123456"]
confirm = true

[profiles.session]
mfa_serial = "arn:aws:iam::999988887777:mfa/me"
source_profile = "org-admin"
mfa_command = ["printf", "654321"]

[profiles.nowhere]
role_arn = "arn:aws:iam::333344445555:role/Nowhere"
source_profile = "nobody"

[profiles.circle]
role_arn = "arn:aws:iam::333344445555:role/Circle"
source_profile = "circle"

[profiles.odd]
role_ar = "x"
when = 2026-11-22
much = inf
deep = [[2026-11-22T08:00:00Z], { x = nan }]
"""
VIA_AWS = """
[profile via-aws]
region = us-east-2
role_arn = arn:aws:iam::444455556666:role/Via
source_profile = org-admin
"""

SPY = """
import sys
def spy(event, arguments):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.system",
                 "os.spawn", "socket.connect", "socket.sendto", "socket.getaddrinfo", "pty.spawn"):
        with open({path!r}, "a") as file:
            file.write(event + "\\n")
sys.addaudithook(spy)
"""


@pytest.fixture(name="sandbox")
def _sandbox(sandbox: Sandbox) -> Sandbox:
    """The usual one, with profiles of every kind."""
    sandbox.configure(PROFILES + MORE)
    sandbox.aws_config(AWS_CONFIG + VIA_AWS)
    return sandbox


def told(sandbox: Sandbox, *arguments: str, **environ: str) -> dict[str, Any]:
    return shapes.told(sandbox, "explain NAME", *arguments, **environ)


def setting(document: dict[str, Any], key: str) -> dict[str, Any]:
    """The row of a key."""
    (found,) = (each for each in document["settings"] if each["key"] == key)
    return found


class TestTheCall:
    """What would be sent, to the letter."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ["unlock-bucket"],
            ["audit-root@payments-prod", "--duration-seconds", "600"],
            ["full", "--reason", "T-1"],
            ["chained"],
        ],
    )
    def test_call_is_what_sts_receives(
        self, sandbox: Sandbox, sts: LoopbackSts, arguments: list[str]
    ) -> None:
        found = told(sandbox, *arguments)
        assert sts.calls == []
        sandbox.get(*arguments)

        call = found["call"]
        assert call["parameters"] == sts.calls[-1].parameters
        assert (call["api"], call["region"]) == (sts.calls[-1].action, sts.calls[-1].region)
        assert call["endpoint"] == sts.url
        assert [hop["key"] for hop in found["chain"]] == [line["key"] for line in reversed(sandbox.audit())]
        assert call["key"] == found["chain"][0]["key"]
        assert (found["problem"], found["source"]["access_key_id"]) == (None, SOURCE_KEY_ID)

    def test_endpoint_is_that_of_the_region_and_fips(self, sandbox: Sandbox) -> None:
        del sandbox.environ["AWS_ENDPOINT_URL_STS"]
        fips = ("--region", "us-east-1", "--use-fips-endpoint")
        for flags, host in (((), "sts.eu-west-1"), (fips, "sts-fips.us-east-1")):
            call = told(sandbox, "developer", *flags)["call"]
            assert call["endpoint"] == f"https://{host}.amazonaws.com"

    def test_chain_names_file_and_line_down_to_its_source(self, sandbox: Sandbox) -> None:
        found = told(sandbox, "chained")
        places = [*found["chain"], found["source"]]

        assert [hop["profile"] for hop in found["chain"]] == ["chained", "AWS profile via-aws"]
        assert [Path(each["file"]).read_text().splitlines()[each["line"] - 1] for each in places] == [
            "[profiles.chained]",
            "[profile via-aws]",
            "[profile org-admin]",
        ]

    def test_no_target_has_no_key_and_everything_else(self, sandbox: Sandbox) -> None:
        found = told(sandbox, "audit-root")

        assert (found["call"]["key"], found["account"], found["problem"]) == (None, None, None)
        assert "TargetPrincipal" not in found["call"]["parameters"]
        assert found["task"]["policy"] == "IAMAuditRootUserCredentials"


class TestOrigins:
    """Where each key comes from."""

    @pytest.mark.parametrize("name", ["unlock-bucket", "full", "odd"])
    def test_line_of_a_setting_is_the_line_in_its_table(self, sandbox: Sandbox, name: str) -> None:
        lines = sandbox.config.read_text().splitlines()
        placed = [each for each in told(sandbox, name, "--reason", "x")["settings"] if each["file"]]

        assert len(placed) >= 3
        for each in placed:
            assert each["file"] == str(sandbox.config)
            assert lines[each["line"] - 1].startswith(f"{each['key']} = "), each
            above = next(line for line in reversed(lines[: each["line"]]) if line.startswith("["))
            assert above == f"[{each['in']}]"

    def test_flag_name_variable_and_default_have_no_line(self, sandbox: Sandbox) -> None:
        sandbox.configure(PROFILES.replace('region = "eu-west-1"\n', ""))
        found = told(
            sandbox, "audit-root@payments-prod", "--duration-seconds", "300", AWS_REGION="eu-north-1"
        )

        nowhere = {"file": None, "line": None, "in": None}
        duration = {"key": "duration_seconds", "value": 300, "from": "flag", **nowhere}
        assert setting(found, "duration_seconds") == duration
        for key, member, value in (
            ("target_principal", "from", "name"),
            ("region", "value", "eu-north-1"),
            ("region", "in", "AWS_REGION"),
            ("endpoint_url", "in", "AWS_ENDPOINT_URL_STS"),
            ("source_profile", "from", "defaults"),
            ("cache", "from", "built-in"),
        ):
            assert setting(found, key)[member] == value

    @pytest.mark.parametrize("name", ["coded", "unlock-bucket"])
    def test_defaults_are_those_of_the_table_of_keys(self, sandbox: Sandbox, name: str) -> None:
        settings = told(sandbox, name)["settings"]
        for each in settings:
            about = keys.BY_NAME[each["key"]].help.partition("(default ")[2]
            if each["from"] == "built-in" and about:
                assert re.search(re.escape(json.dumps(each["value"]).strip('"')), about)
        built_in = {each["key"] for each in settings if each["from"] == "built-in"}
        assert {"connect_timeout", "read_timeout", "confirm", "cache", "min_remaining"} - built_in <= {
            "confirm"
        }


class TestPrompts:
    """What a mint prompts for, and whether the next one does."""

    def test_prompts_of_a_session_without_any_and_of_a_root_session(self, sandbox: Sandbox) -> None:
        assert told(sandbox, "developer")["human"] == []
        assert re.search("^prompt +none$", sandbox.prints("explain", "developer"), re.MULTILINE)
        (asked,) = told(sandbox, "unlock-bucket")["human"]
        assert (asked["what"], asked["now"]) == ("renewal", False)
        assert "3600 s" in asked["sentence"]

    def test_mfa_code_and_confirmation_and_whether_the_next_mint_needs_them(self, sandbox: Sandbox) -> None:
        code, yes = sorted(told(sandbox, "coded")["human"], key=lambda each: each["what"] != "mfa")
        assert (code["profile"], code["now"]) == (f"MFA session of {DEVICE}", True)
        assert "from 'printf'" in code["sentence"]
        assert (yes["profile"], yes["now"]) == ("coded", True)

        sandbox.get("coded", "--yes")
        assert [each["now"] for each in told(sandbox, "coded")["human"] if each["what"] == "confirm"] == [
            False
        ]
        already = "a confirmation, valid for 900 s, already given (coded)"
        assert already in sandbox.prints("explain", "coded")

    def test_reason_is_a_prompt_unless_given(self, sandbox: Sandbox) -> None:
        sandbox.refuses(3, "get", "full", "--reason", "x", "--source-profile", "nobody")
        assert told(sandbox, "full", "--source-profile", "nobody")["problem"]["exit_status"] == 3
        (asked,) = told(sandbox, "full")["human"]
        assert (asked["what"], asked["now"]) == ("reason", True)
        assert told(sandbox, "full")["call"]["key"] is None
        assert told(sandbox, "full", "--reason", "T-1")["human"] == []
        (asked,) = told(sandbox, "developer", "--require-reason", "[A-Z]+-[0-9]+", "--reason", "x")["human"]
        assert (asked["now"], "matches '[A-Z]+-[0-9]+'" in asked["sentence"]) == (True, True)


class TestTasks:
    """The five root tasks in words."""

    @pytest.mark.parametrize("policy", sorted(TASKS))
    def test_actions_are_operations_of_their_service(self, policy: str) -> None:
        """Each is an operation of its service; IAM has another name for S3's ListBuckets."""
        loader = botocore.loaders.Loader()
        for action in TASKS[policy].actions:
            service, _, name = action.partition(":")
            operations = loader.load_service_model(service, "service-2")["operations"]
            assert name.replace("ListAllMyBuckets", "ListBuckets") in operations, action

    def test_task_has_words_actions_and_feature_and_an_unknown_one_its_name(self, sandbox: Sandbox) -> None:
        task = told(sandbox, "unlock-bucket")["task"]
        assert task["words"] == "delete a bucket policy that denies all access"
        assert "s3:DeleteBucketPolicy" in task["actions"]
        assert task["feature"] == "RootSessions"

        arn = "arn:aws:iam::aws:policy/root-task/SomethingNew"
        unknown = dict.fromkeys(("words", "actions", "bounds", "feature"))
        task = told(sandbox, "unlock-bucket", "--task-policy-arn", arn)["task"]
        assert task == {"policy": "SomethingNew", **unknown}


class TestBroken:
    """What is wrong is a part of the answer."""

    @pytest.mark.parametrize(
        ("arguments", "status", "sentence"),
        [
            (["nowhere"], 3, "source_profile 'nobody'"),
            (["circle"], 2, "profiles form a loop"),
            (["odd"], 2, "is not a known key"),
            (["audit-root@nobody"], 2, "neither an account id nor an alias"),
            (["developer@payments-prod"], 2, "takes no target"),
            (["developer", "--region", "cn-north-1"], 2, "partition"),
            (["developer", "--ca-bundle", "/no/such/file"], 2, "names no file"),
            (["developer", "--source-key", "absent"], 3, "saved key 'absent'"),
        ],
    )
    def test_problem_is_that_of_get_and_the_settings_are_shown(
        self, sandbox: Sandbox, arguments: list[str], status: int, sentence: str
    ) -> None:
        found = told(sandbox, *arguments)
        said = sandbox.refuses(status, "get", *arguments)

        assert sentence in found["problem"]["sentence"]
        assert found["problem"]["sentence"] in said
        assert found["problem"]["exit_status"] == status
        assert len(found["settings"]) >= 3

    def test_problem_is_shown_with_hint_and_status(self, sandbox: Sandbox) -> None:
        shown = sandbox.prints("explain", "odd")

        problem = "^problem +'.*' line [0-9]+: 'role_ar' in .* is not a known key$"
        for line in (problem, "^hint +did you mean 'role_arn'$"):
            assert re.search(line, shown, re.MULTILINE), line
        assert "'credhelper get odd' ends with status 2" in shown

    def test_missing_region_is_a_problem_with_the_parameters(self, sandbox: Sandbox) -> None:
        sandbox.configure(PROFILES.replace('region = "eu-west-1"\n', ""))
        found = told(sandbox, "unlock-bucket")

        assert "needs a region" in found["problem"]["sentence"]
        assert found["call"]["parameters"]["TargetPrincipal"] == "111122223333"
        assert found["call"]["region"] is None

    def test_unknown_name_or_missing_file_exits_2(self, sandbox: Sandbox) -> None:
        assert "did you mean 'developer'" in sandbox.refuses(2, "explain", "develper")
        sandbox.config.unlink()
        assert "no configuration file" in sandbox.refuses(2, "explain", "developer")


def test_explain_starts_nothing_and_sends_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """Not for a source that is a process, an MFA command or an STS that is there; `get` does all of it."""
    log, site = tmp_path / "events", tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SPY.format(path=str(log)))
    sandbox.aws_config(f"{AWS_CONFIG}[profile tool]\ncredential_process = printf nothing\n")
    sandbox.configure(PROFILES.replace('"org-admin"', '"tool"') + MORE)
    for name in ("developer", "coded", "session", "unlock-bucket"):
        told(sandbox, name, PYTHONPATH=str(site))
    assert not log.exists()

    sandbox.refuses(3, "get", "developer", PYTHONPATH=str(site))
    assert "subprocess.Popen" in log.read_text()


class TestForPeople:
    """The same to read."""

    def test_terminal_output_fits_80_columns_without_colour(self, sandbox: Sandbox) -> None:
        for name in ("full", "unlock-bucket"):
            status, shown = sandbox.on_a_terminal("explain", name, "--reason", "x" * 60, NO_COLOR="1")
            plain = re.sub(r"\x1b\[[0-9;]*m", "", shown).replace("\r", "")
            assert status == 0
            assert "\x1b[3" not in shown
            assert max(map(len, plain.splitlines())) <= 80

    def test_pipe_output_has_a_line_each(self, sandbox: Sandbox) -> None:
        shown = sandbox.prints("explain", "full", "--reason", "T-1", FORCE_COLOR="1")

        for line in (
            r"profile   full",
            r"account   333344445555",
            r"call      AssumeRole in eu-west-1",
            r"PolicyArns\.member\.2\.arn +arn:aws:iam::aws:policy/ViewOnlyAccess",
            r"Tags\.member\.1\.Value +payments",
            r"external_id +4711-example +line \d+ \[profiles\.full\]",
            r"region +eu-west-1 +line 6 \[defaults\]",
            r"2\. +signed with AWS profile 'org-admin', access key AKIA\w+ \(.*config line 1\)",
        ):
            assert re.search(rf"^{line}$", shown, re.MULTILINE), line

    def test_markup_and_control_characters_are_text(self, sandbox: Sandbox) -> None:
        evil = "\x1b]0;owned\x07\x9b2J\u202e\ncall      AssumeRoot"
        table = f"[profiles.evil]\nrole_arn = {json.dumps(evil)}\n{json.dumps(evil)} = 1\n"
        sandbox.configure(f'{PROFILES}description = "[red]x[/red]"\n{table}')
        shown = sandbox.prints("explain", "evil")
        assert not re.search(r"[^\x20-\x7e\n]", shown + sandbox.prints("explain", "evil", "--json"))
        assert not re.search("^call", shown, re.MULTILINE)
        assert "[red]x[/red]" in sandbox.prints("explain", "developer")

    def test_program_arguments_passwords_and_assertions_are_hidden(
        self, sandbox: Sandbox, sts: LoopbackSts
    ) -> None:
        context = '{ ProviderArn = "arn:aws:iam::aws:contextProvider/x", ContextAssertion = "SIGNED" }'
        command = f'mfa_serial = "{DEVICE}"\nmfa_command = ["oathtool", "-b", "SEED"]\n'
        sandbox.configure(f"{PROFILES}provided_contexts = [{context}]\n{command}")
        proxied = sts.url.replace("//", "//me:PASSWORD@")
        for flags in ([], ["--json"], ["--external-id", "x", "--duration-seconds", "1"]):
            said = sandbox.prints("explain", "developer", *flags, AWS_ENDPOINT_URL_STS=proxied)
            for secret in ("SIGNED", "SEED", "PASSWORD", "wJalrXUtn"):
                assert secret not in said
        (context,) = told(sandbox, "developer")["call"]["parameters"]["ProvidedContexts"]
        assert context["ContextAssertion"] == "(6 characters)"
