"""~/.aws/config under real programs: a killed process, and `aws configure set`."""

from __future__ import annotations

import stat
import subprocess
import sys

import pytest

from credhelper.awsconfig import block
from credhelper.awsconfig.ini import IniFile

import requirements
from blocks import ENTRIES, PROFILES, write


def test_file_is_unchanged_when_killed_before_the_rename(config):
    write(config, b"[default]\n")
    config.chmod(0o600)
    code = (
        "import os, signal, sys; from credhelper.awsconfig import file as a\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "f = a.read(sys.argv[1]); a.replace(f, b'[x]', lambda _: True)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(config)], check=False)
    assert done.returncode == -9
    assert config.read_bytes() == b"[default]\n"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in config.parent.iterdir() if path != config}
    assert modes == {0o600}


@pytest.mark.parametrize("profile", PROFILES)
def test_keys_that_aws_configure_adds_below_the_block_belong_to_it(config, profile):
    above = b"[profile a]\nregion = eu-west-1\n"
    ours = block.with_block(IniFile("config", above), ENTRIES)
    write(config, ours)
    environ = {"AWS_CONFIG_FILE": str(config), "HOME": str(config.parent), "PATH": "/usr/bin:/bin"}
    aws = requirements.program("/usr/bin/aws")
    command = [aws, "configure", "set", "s3.addressing_style", "path", "--profile", profile]
    subprocess.run(command, env=environ, check=True)
    below = b"\n# the new one\n[profile b]\nregion = eu-west-1\n"
    file = IniFile("config", config.read_bytes() + below)
    assert b"addressing_style = path" in file.text
    assert block.is_edited(file)
    assert block.without_block(file) == above + below
    assert block.with_block(file, ENTRIES) == ours + below
