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
CLOSED = ["unlock-bucket", "developer"]
"""The profiles of the usual configuration that have a target; audit-root leaves its target open."""
OPEN = ["audit-root@payments-prod", "audit-root@222233334444"]
NEXT = "next: aws sts get-caller-identity --profile"


@pytest.fixture
def aws(sandbox: Sandbox) -> Path:
    """~/.aws/config with a profile of the user's own; ~/bin has a launcher that only gives its version."""
    script(sandbox.home / "bin/credhelper-get", "echo credhelper 1")
    sandbox.environ["PATH"] = f"{sandbox.home}/bin:/usr/bin:/bin"
    return sandbox.home / ".aws/config"


@pytest.fixture
def empty(sandbox: Sandbox, aws: Path) -> Sandbox:
    """A sandbox without a configuration."""
    sandbox.config.unlink()
    sandbox.config.parent.rmdir()
    sandbox.config.parent.parent.rmdir()
    return sandbox


def setup(sandbox: Sandbox, *arguments: str, **environ: str) -> str:
    return sandbox.prints("setup", *arguments, **environ)


def written(aws: Path) -> dict[str, dict[str, str]]:
    """The profiles that run credhelper, as botocore reads them."""
    profiles = load_config(str(aws))["profiles"]
    return {name: keys for name, keys in profiles.items() if "credential_process" in keys}


def trace(path: Path) -> tuple[object, ...]:
    """What changes when a file is written to or replaced."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_mode, path.read_bytes()


def modes(*paths: Path) -> list[int]:
    return [stat.S_IMODE(path.stat().st_mode) for path in paths]


def test_first_setup_writes_a_private_template_which_is_used_when_filled_in(
    empty: Sandbox, aws: Path
) -> None:
    shown = setup(empty, "--dry-run").splitlines()
    assert shown[:2] == ["--- /dev/null", f"+++ {empty.config}"]
    assert [line[1:] for line in shown[3:]] == STARTER.splitlines()
    assert not empty.config.parent.exists()
    before = trace(aws)
    assert setup(empty) == (
        f"'{empty.config}' has been written as a template\n"
        "next: fill it in, and run 'credhelper setup' again to write its profiles into ~/.aws/config\n"
    )
    assert trace(aws) == before
    assert empty.config.read_text() == STARTER
    assert modes(empty.config, empty.config.parent) == [0o600, 0o700]
    before = trace(empty.config)
    assert "has no profiles yet" in empty.refuses(2, "setup")
    assert trace(empty.config) == before
    empty.config.write_text(FILLED_IN)
    assert f"{NEXT} developer\n" in setup(empty)
    assert set(written(aws)) == {*CLOSED}
    setup(empty, "audit-root", "--accounts", "payments-prod")
    assert set(written(aws)) == {*CLOSED, OPEN[0]}


def test_name_without_a_configuration_writes_the_template_and_exits_2(empty: Sandbox) -> None:
    assert f"no profile 'developer' in '{empty.config}'" in empty.refuses(2, "setup", "developer")
    assert empty.config.read_text() == STARTER


def test_credhelper_config_names_the_template_and_its_directory_keeps_its_mode(
    empty: Sandbox, tmp_path: Path
) -> None:
    directory = tmp_path / "dotfiles"
    directory.mkdir()
    directory.chmod(0o755)
    setup(empty, CREDHELPER_CONFIG=str(directory / "aws.toml"))
    assert (directory / "aws.toml").read_text() == STARTER
    assert modes(directory) == [0o755]


def test_home_of_another_user_is_refused(empty: Sandbox) -> None:
    if os.geteuid() != 0:
        requirements.missing("a second user")
    os.chown(empty.home, NOBODY, NOBODY)
    assert "belongs to another user" in empty.refuses(2, "setup")
    assert not empty.config.parent.exists()


def test_remove_without_a_block_writes_nothing(empty: Sandbox, aws: Path) -> None:
    assert setup(empty, "--remove") == f"'{aws}' has no credhelper profiles\n"
    assert not empty.config.exists()


@pytest.mark.parametrize("name", sorted(FILES.keys() - {"one line", "only comments", "empty"}))
def test_only_the_block_changes_and_remove_restores_the_bytes(sandbox: Sandbox, aws: Path, name: str) -> None:
    aws.write_bytes(FILES[name])
    others = load_config(str(aws))["profiles"]
    setup(sandbox)
    assert aws.read_bytes().startswith(FILES[name])
    assert load_config(str(aws))["profiles"] == {**others, **written(aws)}
    assert set(written(aws)) == {*CLOSED}
    once = trace(aws)
    setup(sandbox)
    assert trace(aws) == once
    setup(sandbox, "--remove")
    assert aws.read_bytes() == FILES[name]


def test_missing_file_is_made_private(sandbox: Sandbox, aws: Path) -> None:
    aws.unlink()
    aws.parent.rmdir()
    setup(sandbox)
    assert modes(aws, aws.parent) == [0o600, 0o700]
    assert set(written(aws)) == {*CLOSED}


def test_text_below_the_block_is_kept(sandbox: Sandbox, aws: Path) -> None:
    setup(sandbox, "developer")
    below = b"\n# mine\n[profile b]\nregion = eu-west-1"
    aws.write_bytes(aws.read_bytes() + below)
    setup(sandbox)
    assert aws.read_bytes().endswith(b"# END credhelper\n" + below)
    setup(sandbox, "--remove")
    assert aws.read_bytes() == AWS_CONFIG.encode() + below


def test_symbolic_link_stays_and_its_target_is_written(sandbox: Sandbox, aws: Path, tmp_path: Path) -> None:
    real = aws.rename(tmp_path / "aws-config")
    aws.symlink_to(real)
    setup(sandbox)
    assert aws.is_symlink()
    assert set(written(real)) == {*CLOSED}
    setup(sandbox, "--remove")
    assert real.read_text() == AWS_CONFIG


def test_aws_config_file_names_the_file(sandbox: Sandbox, aws: Path, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    before = trace(aws)
    assert f"'{place}' runs" in setup(sandbox, AWS_CONFIG_FILE=str(place))
    assert set(written(place)) == {*CLOSED}
    assert trace(aws) == before


@pytest.mark.parametrize(
    ("text", "arguments", "wrong"),
    [
        ("[profile a]\n\n[profile developer]\n", [], "line 3: profile 'developer' exists already"),
        (f"{AWS_CONFIG}[profile developer]\nregion = x\n", [], "differently with --prefix"),
        ("[profile a]\n[profile a]\n", [], "line 2: a second [profile a]"),
        ("\ufeff[default]\n", [], "begins with a byte order mark"),
        ("[default]\n# BEGIN credhelper\n", [], "line 2: '# BEGIN credhelper' has no"),
        (AWS_CONFIG, ["audit-root"], "profile 'audit-root' needs a target account"),
        (AWS_CONFIG, ["audit-root", "--accounts", "nobody"], "'nobody' is neither an account id nor an"),
        (AWS_CONFIG, ["developer", "--accounts", "payments-prod"], "for profiles with an open target"),
        (AWS_CONFIG, ["--accounts", " , "], "no account is left"),
        (AWS_CONFIG, ["develper"], "did you mean 'developer'"),
        (AWS_CONFIG, ["developer@payments-prod"], "takes no target"),
        (AWS_CONFIG, ["developer", "--prefix", "a b"], "'a bdeveloper' cannot be the name of a profile"),
        (AWS_CONFIG, ["developer", "--prefix", "a]\n[profile b"], r"'a]\x0a[profile bdeveloper' cannot be"),
        (AWS_CONFIG, ["--remove", "develper"], "credhelper has written no profile 'develper' into"),
        (AWS_CONFIG, ["--remove", "--accounts", "payments-prod"], "--remove takes names"),
    ],
)
def test_wrong_file_or_arguments_are_refused_and_change_nothing(
    sandbox: Sandbox, aws: Path, text: str, arguments: list[str], wrong: str
) -> None:
    aws.write_text(text, encoding="utf-8")
    before = trace(aws)
    assert wrong in sandbox.refuses(2, "setup", *arguments)
    assert trace(aws) == before
    assert [path.name for path in aws.parent.iterdir()] == ["config"]


def test_read_only_file_is_refused(sandbox: Sandbox, aws: Path) -> None:
    aws.chmod(0o400)
    before = trace(aws)
    assert f"'{aws}' is read-only" in sandbox.refuses(2, "setup")
    assert trace(aws) == before


def test_setup_waits_for_another_one(sandbox: Sandbox, aws: Path) -> None:
    setup(sandbox, "developer")
    mark = sandbox.home / "mark"
    script(sandbox.home / "bin/credhelper-get", f"touch {mark}; echo credhelper 1")
    with FileLocks(str(sandbox.runtime), Log(os.devnull)).hold("setup", 5):
        process = sandbox.start("setup", "unlock-bucket")
        until(mark.exists)  # the last thing before the file is read
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        aws.write_text(aws.read_text().replace("developer", "dev"))
    assert sandbox.finish(process).status == 0
    assert set(written(aws)) == {"dev", "unlock-bucket"}


def test_control_characters_in_a_path_are_escaped(sandbox: Sandbox, aws: Path, tmp_path: Path) -> None:
    place = tmp_path / "a\x1b[2J\nwarning: b"
    for flags in (["--dry-run"], [], ["--remove"]):
        text = setup(sandbox, *flags, AWS_CONFIG_FILE=str(place))
        assert "/a\\x1b[2J\\x0awarning: b" in text
        assert "\x1b" not in text
    assert place.read_bytes() == b""


def test_every_profile_with_a_target_is_written_and_the_first_change_keeps_a_copy(
    sandbox: Sandbox, aws: Path
) -> None:
    text = setup(sandbox)
    assert written(aws) == {
        name: {"credential_process": f"{sandbox.home}/bin/credhelper-get {name}", "region": "eu-west-1"}
        for name in CLOSED
    }
    assert text == (
        f"'{aws}' runs '{sandbox.home}/bin/credhelper-get' for:\n"
        "  new        unlock-bucket\n"
        "  new        developer\n"
        "  left out   audit-root: it needs accounts: 'credhelper setup audit-root --accounts ID,...'\n"
        f"the previous content is in '{aws}.credhelper-backup'\n"
        f"doctor: no problems\n{NEXT} unlock-bucket\n"
    )
    assert Path(f"{aws}.credhelper-backup").read_text() == AWS_CONFIG
    assert "previous content" not in setup(sandbox, "--remove")


def test_names_are_written_and_the_others_kept(sandbox: Sandbox, aws: Path) -> None:
    setup(sandbox, "developer")
    assert "  new        unlock-bucket\n" in setup(sandbox, "unlock-bucket")
    assert list(written(aws)) == ["developer", "unlock-bucket"]
    rows = [line.split() for line in setup(sandbox).splitlines()[1:3]]
    assert rows == [["unchanged", "unlock-bucket"], ["unchanged", "developer"]]
    sandbox.configure(PROFILES.replace("eu-west-1", "eu-west-2"))
    assert "  changed    developer\n" in setup(sandbox, "developer")
    assert [keys["region"] for keys in written(aws).values()] == ["eu-west-2", "eu-west-1"]


def test_each_account_gets_a_profile_and_later_setups_keep_it(sandbox: Sandbox, aws: Path) -> None:
    setup(sandbox, "audit-root", "--accounts", "payments-prod, 222233334444")
    assert list(written(aws)) == OPEN
    assert written(aws)[OPEN[0]]["credential_process"].endswith(f"credhelper-get {OPEN[0]}")
    setup(sandbox)
    assert list(written(aws)) == [*OPEN, *CLOSED]
    setup(sandbox, "audit-root@333344445555")
    assert "audit-root@333344445555" in written(aws)


def test_accounts_of_a_file_are_written_by_alias_once(sandbox: Sandbox, aws: Path) -> None:
    listed = sandbox.home / "accounts"
    listed.write_text("111122223333  # the first\n222233334444\n")
    setup(sandbox, "audit-root", "--accounts", f"@{listed}", "--accounts", "payments-prod")
    assert list(written(aws)) == OPEN


def test_prefix_avoids_names_that_are_taken(sandbox: Sandbox, aws: Path) -> None:
    aws.write_text(AWS_CONFIG + "[profile developer]\nregion = eu-west-1\n")
    assert f"{NEXT} ch-developer\n" in setup(sandbox, "developer", "--prefix", "ch-")
    assert written(aws)["ch-developer"]["credential_process"].endswith("/credhelper-get developer")
    setup(sandbox, "--remove", "developer", "--prefix", "ch-")
    assert written(aws) == {}


def test_removed_profile_stays_in_the_block_with_a_warning(sandbox: Sandbox, aws: Path) -> None:
    setup(sandbox)
    sandbox.configure(PROFILES.replace("profiles.developer", "profiles.dev"))
    text = setup(sandbox)
    assert "warning: 'developer' does not work any more: no profile 'developer' in" in text
    assert "  hint: remove it with 'credhelper setup --remove developer'\n" in text
    assert set(written(aws)) == {*CLOSED, "dev"}


def test_accounts_are_for_profiles_without_a_target_and_remove_takes_all_of_a_name(
    sandbox: Sandbox, aws: Path
) -> None:
    setup(sandbox, "--accounts", "payments-prod,222233334444")
    assert set(written(aws)) == {*CLOSED, *OPEN}
    removed = "".join(f"  removed    {name}\n" for name in OPEN)
    assert setup(sandbox, "--remove", "audit-root") == f"removed from '{aws}':\n{removed}"
    assert set(written(aws)) == {*CLOSED}
    sandbox.configure("what was here is broken by now")
    setup(sandbox, "--remove", *CLOSED)
    assert aws.read_text() == AWS_CONFIG
    assert setup(sandbox, "--remove") == f"'{aws}' has no credhelper profiles\n"


def test_two_thousand_accounts_are_written_and_twenty_listed(sandbox: Sandbox, aws: Path) -> None:
    text = setup(sandbox, "audit-root", "--accounts", ",".join(f"{number:012}" for number in range(2000)))
    assert len(written(aws)) == 2000
    assert text.count("  new        audit-root@") == 20
    assert "  new        ... and 1980 more\n" in text


def test_dry_run_prints_the_lines_that_setup_writes_and_writes_nothing(sandbox: Sandbox, aws: Path) -> None:
    before = trace(aws)
    assert "\n+[profile developer]\n" in setup(sandbox, "developer", "--dry-run")
    shown = setup(sandbox, "--dry-run").splitlines()
    assert shown[:2] == [f"--- {aws}", f"+++ {aws}"]
    assert trace(aws) == before
    assert [path.name for path in aws.parent.iterdir()] == ["config"]
    assert not sandbox.state.exists()
    setup(sandbox)
    block = aws.read_text().removeprefix(AWS_CONFIG).splitlines()
    for lines in (shown, setup(sandbox, "--remove", "--dry-run").splitlines()):
        assert [line[1:] for line in lines[3:]] == block
    assert setup(sandbox, "--dry-run") == "nothing would change\n"


def test_dry_run_shows_no_value_of_other_lines(sandbox: Sandbox, aws: Path) -> None:
    setup(sandbox)
    mine = "aws_secret_access_key = MARK\nAws_Session_Token: MARK\n# password = MARK\ns3 =\n  MARK = MARK2\n"
    aws.write_text(aws.read_text().replace("# END", f"{mine}# END"))
    shown = setup(sandbox, "--dry-run") + setup(sandbox, "--remove", "--dry-run")
    assert shown.count("-aws_secret_access_key = ...\n") == 2
    assert "= MARK" not in shown
    assert ": MARK" not in shown


def test_settings_that_override_credhelper_are_warnings_without_values(sandbox: Sandbox, aws: Path) -> None:
    credentials = aws.with_name("credentials")
    credentials.write_text("[developer]\naws_access_key_id = AKIAMARK\naws_secret_access_key = MARK\n")
    text = setup(sandbox, "developer", AWS_ACCESS_KEY_ID="AKIAMARK")
    key = "'aws_access_key_id' of profile 'developer'"
    assert f"warning: '{credentials}' line 2: {key} wins over credhelper in every SDK\n  hint: " in text
    assert "warning: AWS_ACCESS_KEY_ID is set" in text
    assert text.count(key) == 1  # and the doctor does not say it again
    assert "MARK" not in text
    assert "developer" in written(aws)


def test_problem_of_doctor_is_shown(sandbox: Sandbox, aws: Path) -> None:
    sandbox.configure(PROFILES + 'ca_bundle = "/nowhere"\n')
    verdict = setup(sandbox, "developer").partition("doctor: 1 problem\n")[2]
    assert verdict.startswith(f"  developer: '{sandbox.config}' line 17: 'ca_bundle'")
    assert verdict.endswith(f"{NEXT} developer\n")


def test_program_in_a_virtual_environment_is_a_warning(sandbox: Sandbox, aws: Path) -> None:
    text = setup(sandbox, PATH="/usr/bin:/bin")
    program = Path(PROGRAM).with_name("credhelper-get")
    assert written(aws)["developer"]["credential_process"] == f"{program} developer"
    assert f"warning: '{program}' may go away: it is in a virtual environment" in text


def test_silent_launcher_is_replaced_by_credhelper_get(sandbox: Sandbox, aws: Path) -> None:
    script(sandbox.home / "bin/credhelper-get", "exit 1")
    (sandbox.home / "bin/credhelper").symlink_to(PROGRAM)
    setup(sandbox, "developer")
    command = written(aws)["developer"]["credential_process"]
    assert command == f"{sandbox.home}/bin/credhelper get developer"


def test_credhelper_config_is_a_warning(sandbox: Sandbox, aws: Path, tmp_path: Path) -> None:
    place = sandbox.config.rename(tmp_path / "credhelper.toml")
    assert "warning: CREDHELPER_CONFIG is set" in setup(sandbox, CREDHELPER_CONFIG=str(place))


@pytest.fixture
def quoted(sandbox: Sandbox) -> Sandbox:
    """The sandbox after setup, with the program in a directory that has a space."""
    (sandbox.home / "my bin").mkdir()
    for name in ("credhelper", "credhelper-get"):
        (sandbox.home / "my bin" / name).symlink_to(Path(PROGRAM).with_name(name))
    sandbox.environ["PATH"] = f"{sandbox.home}/my bin:/usr/bin:/bin"
    setup(sandbox, "--accounts", "payments-prod")
    command = f'/"{str(sandbox.home)[1:]}/my bin/credhelper-get" developer'
    assert command in (sandbox.home / ".aws/config").read_text()
    return sandbox


@pytest.mark.parametrize(
    ("profile", "arn"),
    [
        ("developer", "arn:aws:sts::222233334444:assumed-role/Developer/"),
        ("audit-root@payments-prod", "arn:aws:iam::111122223333:root"),
    ],
)
def test_boto3_uses_the_written_profile(quoted: Sandbox, profile: str, arn: str) -> None:
    command = [sys.executable, "-c", BOTO3, profile, "1"]
    done = subprocess.run(command, env=quoted.environ, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(arn), done.stderr


@pytest.mark.parametrize("path", [AWS_CLI_V1, AWS_CLI_V2], ids=["v1", "v2"])
def test_aws_cli_runs_the_command_that_setup_suggests(quoted: Sandbox, sts: LoopbackSts, path: Path) -> None:
    after = setup(quoted, "developer").rpartition("next: aws ")[2]
    command = [requirements.program(str(path)), *after.split(), "--endpoint-url", sts.url]
    done = subprocess.run(command, env=quoted.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["Arn"].startswith("arn:aws:sts::222233334444:assumed-role/Developer/")
