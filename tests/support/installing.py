"""credhelper as users install it: the wheel, in places of its own, lent the libraries of this environment."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]


def build_wheel(directory: Path, source: Path = ROOT) -> Path:
    """The wheel of a checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", directory]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (wheel,) = directory.glob("*.whl")
    return wheel


def make_venv(home: Path, python: str = sys.executable, *flags: str) -> Path:
    """A virtual environment without pip."""
    subprocess.run([python, "-m", "venv", "--without-pip", *flags, home], check=True)
    return home


def install(wheel: Path | str, python: Path | str, *flags: str, **environ: str) -> None:
    """Install credhelper alone, by this environment's pip, for the interpreter of another one."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python]
    flags = ("--no-deps", "--no-warn-script-location", *flags)
    subprocess.run([*pip, "install", *flags, wheel], env={**os.environ, **environ}, check=True, timeout=300)


def packages_of(home: Path) -> Path:
    """Where an environment has its packages; fails where it has more than one such place."""
    (packages,) = home.glob("lib/python*/*-packages")
    return packages


def lend_libraries(packages: Path) -> None:
    """Make boto3 and the others of this environment importable there, as a `.pth` file does."""
    lent = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    packages.joinpath("lent.pth").write_text("".join(f"{path}\n" for path in sorted(lent)))


def installed_venv(wheel: Path, home: Path, python: str = sys.executable) -> Path:
    """A virtual environment that has credhelper."""
    make_venv(home, python)
    install(wheel, home)
    lend_libraries(packages_of(home))
    return home
