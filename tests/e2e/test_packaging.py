"""The wheel, and what a cached answer may import."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import credhelper

if TYPE_CHECKING:
    from sandbox import Sandbox

ROOT = Path(__file__).parents[2]

NOT_FOR_A_CACHED_ANSWER = {"boto3", "botocore", "filelock", "rich", "urllib3"}


def test_the_version_stands_in_one_place() -> None:
    """The package's metadata has the version of the source."""
    assert metadata.version("credhelper") == credhelper.__version__


def test_the_wheel_has_all_that_the_program_needs(tmp_path: Path) -> None:
    """Every room, the schema, the mark of typed packages, the launcher and the man page; no tests."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    rooms = {f"credhelper/{path.name}" for path in (ROOT / "credhelper").glob("*.py")}
    scripts = (f"completions/credhelper.{shell}" for shell in ("bash", "zsh", "fish"))
    extras = ("config.schema.json", "config.example.toml", "py.typed", *scripts)
    assert rooms | {f"credhelper/{name}" for name in extras} <= names
    stem = f"credhelper-{credhelper.__version__}"
    assert {name.split("/")[0] for name in names} == {"credhelper", f"{stem}.dist-info", f"{stem}.data"}
    data = {"scripts/credhelper-get", "data/share/man/man1/credhelper.1"}
    assert {name for name in names if ".data/" in name} == {f"{stem}.data/{name}" for name in data}


def test_a_cached_answer_imports_nothing_that_only_a_mint_needs(sandbox: Sandbox, secret_service) -> None:
    """botocore alone would cost more than all the rest."""
    sandbox.get("developer")
    script = (
        "import sys; from credhelper.cli import main as cli; "
        "status = cli.main(['get', 'developer']); "
        "sys.stderr.write(' '.join({name.split('.')[0] for name in sys.modules})); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=sandbox.environ, capture_output=True, text=True, check=True
    )

    assert not NOT_FOR_A_CACHED_ANSWER & set(done.stderr.split())
