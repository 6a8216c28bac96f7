"""`credhelper setup`: profiles in ~/.aws/config that run credhelper, and nothing else changed there."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.configloader import load_config

from credhelper.cache.locks import FileLocks
from credhelper.config.template import STARTER
from credhelper.log import Log

import requirements
from blocks import FILES, script
from clients import AWS_CLI_V1, AWS_CLI_V2, BOTO3
from sandbox import AWS_CONFIG, PROFILES, PROGRAM, until
from starter import FILLED_IN

if TYPE_CHECKING:
    from sandbox import Sandbox
    from sts import LoopbackSts

NOBODY = 65534
CLOSED = ("unlock-bucket", "developer")
"""The profiles of the usual configuration that have a target; audit-root leaves its target open."""


@pytest.fixture
def aws(sandbox: Sandbox) -> Path:
    """~/.aws/config with a profile of the user's own; ~/bin has a launcher that only gives its version."""
    script(sandbox.home / "bin/credhelper-get", "echo credhelper 1")
    sandbox.environ["PATH"] = f"{sandbox.home}/bin:/usr/bin:/bin"
    return sandbox.home / ".aws/config"


def said(sandbox: Sandbox, *arguments: str, **environ: str) -> str:
    """The output of a setup that succeeds."""
    result = sandbox.run("setup", *arguments, **environ)
    assert result.status == 0, result.stderr
    return result.stdout.decode()


def ours(aws: Path) -> dict[str, dict[str, str]]:
    """The profiles that run credhelper, as botocore reads them."""
    profiles = load_config(str(aws))["profiles"]
    return {name: keys for name, keys in profiles.items() if "credential_process" in keys}


def trace(path: Path) -> tuple[object, ...]:
    """What changes when a file is written to or replaced."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_mode, path.read_bytes()


class TestBegin:
    """Where there is no configuration yet."""

    @pytest.fixture(autouse=True)
    def _nothing_there(self, sandbox: Sandbox) -> None:
        sandbox.config.unlink()
        sandbox.config.parent.rmdir()
        sandbox.config.parent.parent.rmdir()

    def test_setup_writes_a_private_template_and_leaves_aws_config(self, sandbox: Sandbox, aws: Path) -> None:
        before = trace(aws)
        assert said(sandbox) == (
            f"'{sandbox.config}' has been written as a template\n"
            "next: fill it in, and run 'credhelper setup' again to write its profiles into ~/.aws/config\n"
        )
        assert sandbox.config.read_text() == STARTER
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (sandbox.config, sandbox.config.parent)]
        assert modes == [0o600, 0o700]
        assert trace(aws) == before

    def test_second_setup_leaves_an_unfilled_template(self, sandbox: Sandbox) -> None:
        said(sandbox)
        before = trace(sandbox.config)
        assert "has no profiles yet" in sandbox.refuses(2, "setup")
        assert trace(sandbox.config) == before

    def test_name_without_a_configuration_writes_the_template_and_exits_2(self, sandbox: Sandbox) -> None:
        stderr = sandbox.refuses(2, "setup", "developer")
        assert f"no profile 'developer' in '{sandbox.config}'" in stderr
        assert sandbox.config.read_text() == STARTER

    def test_filled_in_profiles_with_a_target_are_written(self, sandbox: Sandbox, aws: Path) -> None:
        said(sandbox)
        sandbox.config.write_text(FILLED_IN)
        assert "next: aws sts get-caller-identity --profile developer\n" in said(sandbox)
        assert set(ours(aws)) == set(CLOSED)
        said(sandbox, "audit-root", "--accounts", "payments-prod")
        assert set(ours(aws)) == {*CLOSED, "audit-root@payments-prod"}

    def test_dry_run_shows_the_template_and_writes_nothing(self, sandbox: Sandbox) -> None:
        shown = said(sandbox, "--dry-run")
        assert shown.splitlines()[:2] == ["--- /dev/null", f"+++ {sandbox.config}"]
        assert [line[1:] for line in shown.splitlines()[3:]] == STARTER.splitlines()
        assert not sandbox.config.parent.exists()

    def test_credhelper_config_names_the_template_and_its_directory_keeps_its_mode(
        self, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        directory = tmp_path / "dotfiles"
        directory.mkdir()
        directory.chmod(0o755)
        said(sandbox, CREDHELPER_CONFIG=str(directory / "aws.toml"))
        assert (directory / "aws.toml").read_text() == STARTER
        assert stat.S_IMODE(directory.stat().st_mode) == 0o755

    def test_home_of_another_user_is_refused(self, sandbox: Sandbox, tmp_path: Path) -> None:
        if os.geteuid() != 0:
            requirements.missing("a second user")
        os.chown(sandbox.home, NOBODY, NOBODY)
        assert "belongs to another user" in sandbox.refuses(2, "setup")
        assert not sandbox.config.parent.exists()

    def test_remove_without_a_block_writes_nothing(self, sandbox: Sandbox) -> None:
        assert said(sandbox, "--remove") == f"'{sandbox.home}/.aws/config' has no credhelper profiles\n"
        assert not sandbox.config.exists()


class TestFiles:
    """Files as people have them."""

    @pytest.mark.parametrize("name", sorted(FILES.keys() - {"one line", "only comments", "empty"}))
    def test_only_the_block_changes_and_remove_restores_the_bytes(
        self, sandbox: Sandbox, aws: Path, name: str
    ) -> None:
        aws.write_bytes(FILES[name])
        others = load_config(str(aws))["profiles"]
        said(sandbox)
        assert aws.read_bytes().startswith(FILES[name])
        assert load_config(str(aws))["profiles"] == {**others, **ours(aws)}
        assert set(ours(aws)) == set(CLOSED)
        once = trace(aws)
        said(sandbox)
        assert trace(aws) == once
        said(sandbox, "--remove")
        assert aws.read_bytes() == FILES[name]

    def test_missing_file_is_made_private(self, sandbox: Sandbox, aws: Path) -> None:
        aws.unlink()
        aws.parent.rmdir()
        said(sandbox)
        assert [stat.S_IMODE(path.stat().st_mode) for path in (aws, aws.parent)] == [0o600, 0o700]
        assert set(ours(aws)) == set(CLOSED)

    def test_text_below_the_block_is_kept(self, sandbox: Sandbox, aws: Path) -> None:
        said(sandbox, "developer")
        below = b"\n# mine\n[profile b]\nregion = eu-west-1"
        aws.write_bytes(aws.read_bytes() + below)
        said(sandbox)
        assert aws.read_bytes().endswith(b"# END credhelper\n" + below)
        said(sandbox, "--remove")
        assert aws.read_bytes() == AWS_CONFIG.encode() + below

    def test_symbolic_link_stays_and_its_target_is_written(
        self, sandbox: Sandbox, aws: Path, tmp_path: Path
    ) -> None:
        real = tmp_path / "aws-config"
        aws.rename(real)
        aws.symlink_to(real)
        said(sandbox)
        assert aws.is_symlink()
        assert set(ours(real)) == set(CLOSED)
        said(sandbox, "--remove")
        assert real.read_text() == AWS_CONFIG

    def test_aws_config_file_names_the_file(self, sandbox: Sandbox, aws: Path, tmp_path: Path) -> None:
        place = tmp_path / "elsewhere"
        before = trace(aws)
        assert f"'{place}' runs" in said(sandbox, AWS_CONFIG_FILE=str(place))
        assert set(ours(place)) == set(CLOSED)
        assert trace(aws) == before

    @pytest.mark.parametrize(
        ("text", "wrong"),
        [
            (b"[profile a]\n\n[profile developer]\n", "line 3: profile 'developer' exists already"),
            (b"[profile a]\n[profile a]\n", "line 2: a second [profile a]"),
            (b"\xef\xbb\xbf[default]\n", "begins with a byte order mark"),
            (b"[default]\n# BEGIN credhelper\n", "line 2: '# BEGIN credhelper' has no"),
        ],
    )
    def test_wrong_arguments_are_refused_and_change_nothing(
        self, sandbox: Sandbox, aws: Path, text: bytes, wrong: str
    ) -> None:
        aws.write_bytes(text)
        before = trace(aws)
        assert wrong in sandbox.refuses(2, "setup")
        assert trace(aws) == before
        assert [path.name for path in aws.parent.iterdir()] == ["config"]

    def test_read_only_file_is_refused(self, sandbox: Sandbox, aws: Path) -> None:
        aws.chmod(0o400)
        before = trace(aws)
        assert f"'{aws}' is read-only" in sandbox.refuses(2, "setup")
        assert trace(aws) == before

    def test_first_change_keeps_a_copy(self, sandbox: Sandbox, aws: Path) -> None:
        assert f"the previous content is in '{aws}.credhelper-backup'\n" in said(sandbox)
        assert Path(f"{aws}.credhelper-backup").read_text() == AWS_CONFIG
        assert "previous content" not in said(sandbox, "--remove")

    def test_setup_waits_for_another_one(self, sandbox: Sandbox, aws: Path) -> None:
        said(sandbox, "developer")
        mark = sandbox.home / "mark"
        script(sandbox.home / "bin/credhelper-get", f"touch {mark}; echo credhelper 1")
        with FileLocks(str(sandbox.runtime), Log(os.devnull)).hold("setup", 5):
            process = sandbox.start("setup", "unlock-bucket")
            until(mark.exists)  # the last thing before the file is read
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
            aws.write_text(aws.read_text().replace("developer", "dev"))
        assert sandbox.finish(process).status == 0
        assert set(ours(aws)) == {"dev", "unlock-bucket"}

    def test_control_characters_in_a_path_are_escaped(self, sandbox: Sandbox, tmp_path: Path) -> None:
        place = tmp_path / "a\x1b[2J\nwarning: b"
        for flags in (["--dry-run"], [], ["--remove"]):
            text = said(sandbox, *flags, AWS_CONFIG_FILE=str(place))
            assert "/a\\x1b[2J\\x0awarning: b" in text
            assert "\x1b" not in text
        assert place.read_bytes() == b""


class TestEntries:
    """Which profiles the block has."""

    def test_setup_writes_every_profile_with_a_target(self, sandbox: Sandbox, aws: Path) -> None:
        text = said(sandbox)
        assert ours(aws) == {
            name: {"credential_process": f"{sandbox.home}/bin/credhelper-get {name}", "region": "eu-west-1"}
            for name in CLOSED
        }
        assert text == (
            f"'{aws}' runs '{sandbox.home}/bin/credhelper-get' for:\n"
            "  new        unlock-bucket\n"
            "  new        developer\n"
            "  left out   audit-root: it needs accounts: 'credhelper setup audit-root --accounts ID,...'\n"
            f"the previous content is in '{aws}.credhelper-backup'\n"
            "doctor: no problems\n"
            "next: aws sts get-caller-identity --profile unlock-bucket\n"
        )

    def test_names_are_written_and_the_others_kept(self, sandbox: Sandbox, aws: Path) -> None:
        said(sandbox, "developer")
        assert "  new        unlock-bucket\n" in said(sandbox, "unlock-bucket")
        assert list(ours(aws)) == ["developer", "unlock-bucket"]
        text = said(sandbox)
        assert [line.split() for line in text.splitlines()[1:3]] == [
            ["unchanged", "unlock-bucket"],
            ["unchanged", "developer"],
        ]
        sandbox.configure(PROFILES.replace("eu-west-1", "eu-west-2"))
        assert "  changed    developer\n" in said(sandbox, "developer")
        assert [keys["region"] for keys in ours(aws).values()] == ["eu-west-2", "eu-west-1"]

    def test_each_account_gets_a_profile_and_later_setups_keep_it(self, sandbox: Sandbox, aws: Path) -> None:
        said(sandbox, "audit-root", "--accounts", "payments-prod, 222233334444")
        names = ["audit-root@payments-prod", "audit-root@222233334444"]
        assert list(ours(aws)) == names
        assert ours(aws)[names[0]]["credential_process"].endswith("credhelper-get audit-root@payments-prod")
        said(sandbox)
        assert list(ours(aws)) == [*names, *CLOSED]
        said(sandbox, "audit-root@333344445555")
        assert "audit-root@333344445555" in ours(aws)

    def test_accounts_of_a_file_are_written_by_alias_once(self, sandbox: Sandbox, aws: Path) -> None:
        listed = sandbox.home / "accounts"
        listed.write_text("111122223333  # the first\n222233334444\n")
        said(sandbox, "audit-root", "--accounts", f"@{listed}", "--accounts", "payments-prod")
        assert list(ours(aws)) == ["audit-root@payments-prod", "audit-root@222233334444"]

    def test_accounts_without_names_are_for_profiles_without_a_target(
        self, sandbox: Sandbox, aws: Path
    ) -> None:
        said(sandbox, "--accounts", "payments-prod")
        assert set(ours(aws)) == {*CLOSED, "audit-root@payments-prod"}

    @pytest.mark.parametrize(
        ("arguments", "wrong"),
        [
            (["audit-root"], "profile 'audit-root' needs a target account"),
            (["audit-root", "--accounts", "nobody"], "'nobody' is neither an account id nor an alias"),
            (["developer", "--accounts", "payments-prod"], "for profiles with an open target"),
            (["--accounts", " , "], "no account is left"),
            (["develper"], "did you mean 'developer'"),
            (["developer@payments-prod"], "takes no target"),
            (["developer", "--prefix", "a b"], "'a bdeveloper' cannot be the name of a profile"),
            (["developer", "--prefix", "a]\n[profile b"], r"'a]\x0a[profile bdeveloper' cannot be the name"),
            (["--remove", "develper"], "credhelper has written no profile 'develper' into"),
            (["--remove", "--accounts", "payments-prod"], "--remove takes names"),
        ],
    )
    def test_wrong_arguments_are_refused_and_change_nothing(
        self, sandbox: Sandbox, aws: Path, arguments: list[str], wrong: str
    ) -> None:
        before = trace(aws)
        assert wrong in sandbox.refuses(2, "setup", *arguments)
        assert trace(aws) == before

    def test_prefix_avoids_names_that_are_taken(self, sandbox: Sandbox, aws: Path) -> None:
        aws.write_text(AWS_CONFIG + "[profile developer]\nregion = eu-west-1\n")
        assert "differently with --prefix" in sandbox.refuses(2, "setup")
        assert "next: aws sts get-caller-identity --profile ch-developer\n" in said(
            sandbox, "developer", "--prefix", "ch-"
        )
        assert ours(aws)["ch-developer"]["credential_process"].endswith("/credhelper-get developer")
        said(sandbox, "--remove", "developer", "--prefix", "ch-")
        assert ours(aws) == {}

    def test_removed_profile_stays_in_the_block_with_a_warning(self, sandbox: Sandbox, aws: Path) -> None:
        said(sandbox)
        sandbox.configure(PROFILES.replace("profiles.developer", "profiles.dev"))
        text = said(sandbox)
        assert "warning: 'developer' does not work any more: no profile 'developer' in" in text
        assert "  hint: remove it with 'credhelper setup --remove developer'\n" in text
        assert set(ours(aws)) == {*CLOSED, "dev"}

    def test_remove_takes_all_targets_of_a_name(self, sandbox: Sandbox, aws: Path) -> None:
        said(sandbox, "--accounts", "payments-prod,222233334444")
        assert said(sandbox, "--remove", "audit-root") == (
            f"removed from '{aws}':\n"
            "  removed    audit-root@payments-prod\n"
            "  removed    audit-root@222233334444\n"
        )
        assert set(ours(aws)) == set(CLOSED)
        sandbox.configure("what was here is broken by now")
        said(sandbox, "--remove", *CLOSED)
        assert aws.read_text() == AWS_CONFIG
        assert said(sandbox, "--remove") == f"'{aws}' has no credhelper profiles\n"

    def test_two_thousand_accounts_are_written_and_twenty_listed(self, sandbox: Sandbox, aws: Path) -> None:
        accounts = [f"{number:012}" for number in range(2000)]
        text = said(sandbox, "audit-root", "--accounts", ",".join(accounts))
        assert len(ours(aws)) == 2000
        assert text.count("  new        audit-root@") == 20
        assert "  new        ... and 1980 more\n" in text


class TestDryRun:
    """What is shown, and not done."""

    def test_dry_run_prints_a_diff_and_writes_nothing(self, sandbox: Sandbox, aws: Path) -> None:
        before = trace(aws)
        shown = said(sandbox, "developer", "--dry-run")
        assert shown.splitlines()[:2] == [f"--- {aws}", f"+++ {aws}"]
        assert "\n+[profile developer]\n" in shown
        assert trace(aws) == before
        assert [path.name for path in aws.parent.iterdir()] == ["config"]
        assert not sandbox.state.exists()

    def test_dry_run_prints_the_lines_that_setup_writes(self, sandbox: Sandbox, aws: Path) -> None:
        shown = said(sandbox, "--dry-run")
        said(sandbox)
        block = aws.read_text().removeprefix(AWS_CONFIG).splitlines()
        assert [line[1:] for line in shown.splitlines()[3:]] == block
        removed = said(sandbox, "--remove", "--dry-run")
        assert [line[1:] for line in removed.splitlines()[3:]] == block
        assert said(sandbox, "--dry-run") == "nothing would change\n"

    def test_dry_run_shows_no_value_of_other_lines(self, sandbox: Sandbox, aws: Path) -> None:
        said(sandbox)
        mine = (
            "aws_secret_access_key = MARK\nAws_Session_Token: MARK\n# password = MARK\ns3 =\n  MARK = MARK2\n"
        )
        aws.write_text(aws.read_text().replace("# END", f"{mine}# END"))
        shown = said(sandbox, "--dry-run") + said(sandbox, "--remove", "--dry-run")
        assert shown.count("-aws_secret_access_key = ...\n") == 2
        assert "= MARK" not in shown
        assert ": MARK" not in shown


class TestWarnings:
    """What may keep the profiles from working is said on stdout: the work is done all the same."""

    def test_settings_that_override_credhelper_are_warnings_without_values(
        self, sandbox: Sandbox, aws: Path
    ) -> None:
        credentials = aws.with_name("credentials")
        credentials.write_text("[developer]\naws_access_key_id = AKIAMARK\naws_secret_access_key = MARK\n")
        text = said(sandbox, "developer", AWS_ACCESS_KEY_ID="AKIAMARK")
        key = "'aws_access_key_id' of profile 'developer'"
        assert f"warning: '{credentials}' line 2: {key} wins over credhelper in every SDK\n  hint: " in text
        assert "warning: AWS_ACCESS_KEY_ID is set" in text
        assert text.count(key) == 1  # and the doctor does not say it again
        assert "MARK" not in text
        assert "developer" in ours(aws)

    def test_problem_of_doctor_is_shown(self, sandbox: Sandbox, aws: Path) -> None:
        sandbox.configure(PROFILES + 'ca_bundle = "/nowhere"\n')
        verdict = said(sandbox, "developer").partition("doctor: 1 problem\n")[2]
        assert verdict.startswith(f"  developer: '{sandbox.config}' line 17: 'ca_bundle'")
        assert verdict.endswith("next: aws sts get-caller-identity --profile developer\n")

    def test_program_in_a_virtual_environment_is_a_warning(self, sandbox: Sandbox, aws: Path) -> None:
        text = said(sandbox, PATH="/usr/bin:/bin")
        program = Path(PROGRAM).with_name("credhelper-get")
        assert ours(aws)["developer"]["credential_process"] == f"{program} developer"
        assert f"warning: '{program}' may go away: it is in a virtual environment" in text

    def test_silent_launcher_is_replaced_by_credhelper_get(self, sandbox: Sandbox, aws: Path) -> None:
        script(sandbox.home / "bin/credhelper-get", "exit 1")
        (sandbox.home / "bin/credhelper").symlink_to(PROGRAM)
        said(sandbox, "developer")
        command = ours(aws)["developer"]["credential_process"]
        assert command == f"{sandbox.home}/bin/credhelper get developer"

    def test_credhelper_config_is_a_warning(self, sandbox: Sandbox, aws: Path, tmp_path: Path) -> None:
        place = sandbox.config.rename(tmp_path / "credhelper.toml")
        assert "warning: CREDHELPER_CONFIG is set" in said(sandbox, CREDHELPER_CONFIG=str(place))


class TestClients:
    """Real clients, by the profiles that setup wrote, from a place that needs quotes."""

    @pytest.fixture
    def written(self, sandbox: Sandbox) -> Sandbox:
        """The sandbox after setup, with the program in a directory that has a space."""
        (sandbox.home / "my bin").mkdir()
        for name in ("credhelper", "credhelper-get"):
            (sandbox.home / "my bin" / name).symlink_to(Path(PROGRAM).with_name(name))
        sandbox.environ["PATH"] = f"{sandbox.home}/my bin:/usr/bin:/bin"
        said(sandbox, "--accounts", "payments-prod")
        assert (
            f'/"{str(sandbox.home)[1:]}/my bin/credhelper-get" developer'
            in (sandbox.home / ".aws/config").read_text()
        )
        return sandbox

    @pytest.mark.parametrize(
        ("profile", "arn"),
        [
            ("developer", "arn:aws:sts::222233334444:assumed-role/Developer/"),
            ("audit-root@payments-prod", "arn:aws:iam::111122223333:root"),
        ],
    )
    def test_boto3_uses_the_written_profile(self, written: Sandbox, profile: str, arn: str) -> None:
        command = [sys.executable, "-c", BOTO3, profile, "1"]
        done = subprocess.run(command, env=written.environ, capture_output=True, text=True, check=False)
        assert done.stdout.startswith(arn), done.stderr

    @pytest.mark.parametrize("path", [AWS_CLI_V1, AWS_CLI_V2], ids=["v1", "v2"])
    def test_aws_cli_runs_the_command_that_setup_suggests(
        self, written: Sandbox, sts: LoopbackSts, path: Path
    ) -> None:
        after = said(written, "developer").rpartition("next: aws ")[2]
        command = [requirements.program(str(path)), *after.split(), "--endpoint-url", sts.url]
        done = subprocess.run(command, env=written.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["Arn"].startswith("arn:aws:sts::222233334444:assumed-role/Developer/")
