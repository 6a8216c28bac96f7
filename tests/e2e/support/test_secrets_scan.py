"""The search for secrets finds each form, in files and in other processes."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from secrets_scan import find_secret

if TYPE_CHECKING:
    from pathlib import Path

MARKER = f"SCANMARKER{os.urandom(8).hex()}"


@pytest.mark.parametrize(
    "content",
    [
        *(base64.b64encode(f"{before}{MARKER}-and-more".encode()) for before in ("", "x", "xy", "xyz")),
        b"\0\xff" + MARKER.encode(),
        b"\0\xff" + MARKER.encode().hex().encode(),
    ],
    ids=["base64", "base64+1", "base64+2", "base64+3", "clear", "hexadecimal"],
)
def test_a_secret_is_found_in_a_file_whose_times_are_forged(tmp_path: Path, content: bytes) -> None:
    began = time.time() - 1
    file = tmp_path / "below" / "file"
    file.parent.mkdir()
    file.write_bytes(content)
    os.utime(file, (0, 0))
    assert find_secret([tmp_path], MARKER, began) == [str(file)]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.parametrize(
    ("arguments", "environ", "name"), [([MARKER], {}, "cmdline"), ([], {"SECRET": MARKER}, "environ")]
)
def test_a_secret_is_found_in_another_process(
    arguments: list[str], environ: dict[str, str], name: str
) -> None:
    wait = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(wait, env=environ, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert find_secret([], MARKER) == [f"/proc/{process.pid}/{name}"]
        process.communicate()


def test_another_text_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(base64.b64encode(b"SCANMARKER0000 and the rest"))
    assert find_secret([tmp_path], MARKER) == []
