"""Files such as ~/.aws/config, what setup writes into them, and what botocore makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import botocore.session
import pytest
from botocore.configloader import load_config
from botocore.exceptions import ConfigNotFound, ConfigParseError

from credhelper.awsconfig import file as config_file
from credhelper.awsconfig.block import Entry

if TYPE_CHECKING:
    from pathlib import Path

    from credhelper.awsconfig.ini import IniFile

ENTRIES = (
    Entry("developer", "/home/me/.local/bin/credhelper-get developer", "eu-west-1"),
    Entry("audit-root@payments-prod", "/home/me/.local/bin/credhelper-get audit-root@payments-prod"),
)
WRITTEN = """\
# BEGIN credhelper
# 'credhelper setup' writes and replaces this block, 'credhelper setup --remove' removes it.
# Put your own lines above BEGIN or below END.
[profile developer]
credential_process = /home/me/.local/bin/credhelper-get developer
region = eu-west-1

[profile audit-root@payments-prod]
credential_process = /home/me/.local/bin/credhelper-get audit-root@payments-prod
# END credhelper
"""
PROFILES = {
    "developer": {"credential_process": ENTRIES[0].command, "region": "eu-west-1"},
    "audit-root@payments-prod": {"credential_process": ENTRIES[1].command},
}

FILES = {
    "usual": b"[default]\nregion = eu-west-1\noutput = json\n\n[profile org-admin]\nregion = eu-west-1\n",
    "empty": b"",
    "comments": b"# mine\n; too\n\n[profile a] # the first\n  # indented\nregion = eu-west-1\n# the end\n",
    "only comments": b"# nothing here yet",
    "nested": b"[default]\ns3 =\n  max_concurrent_requests = 20\n  addressing_style = path\n",
    "CRLF": b"[default]\r\nregion = eu-west-1\r\n\r\n[profile a]\r\nregion = eu-west-1\r\n",
    "no final newline": b"[profile a]\nregion = eu-west-1",
    "CRLF, no final newline": b"[profile a]\r\nregion = eu-west-1",
    "sso and services": (
        b"[profile corp]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Admin\n"
        b"services = local\n\n[sso-session corp]\nsso_region = eu-west-1\n"
        b"sso_start_url = https://corp.awsapps.com/start\n\n"
        b"[services local]\nsts =\n  endpoint_url = http://127.0.0.1:1\n\n[plugins]\ncli_legacy = x\n"
    ),
    "quoted and indented": b'[profile "with spaces"]\n    region = eu-west-1\n    output = text\n\t\n\n\n',
    "not only ASCII": "# für alle\n[profile bücher]\nregion = eu-west-1\n".encode(),
    "line ends of all kinds": b"[profile a]\nregion = eu-west-1\r\n[profile b]\rregion = eu-west-1\r",
    "one line": b"[profile a]\r",
}


def reads(path: str) -> bool:
    """Whether botocore reads the file."""
    try:
        load_config(path)
    except (ConfigNotFound, ConfigParseError):
        return False
    return True


def write(path: Path, text: bytes) -> IniFile:
    """The file, with this text in it."""
    path.write_bytes(text)
    return config_file.read(str(path))


ENVELOPE = {"Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "s", "SessionToken": "t"}


def script(path: Path, body: str) -> Path:
    """A program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def resolved(config: Path, profile: str, *, named: bool = True) -> tuple[str, str | None]:
    """How botocore gets the credentials of a profile, and the access key id where that takes no network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_CONFIG_FILE", str(config))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(config.with_name("credentials")))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        if not named:
            patch.setenv("AWS_PROFILE", profile)
        session = botocore.session.Session(profile=profile if named else None)
        credentials = session.get_credentials()
        assert credentials is not None
        known = credentials.method in ("custom-process", "shared-credentials-file", "env")
        return credentials.method, credentials.access_key if known else None
