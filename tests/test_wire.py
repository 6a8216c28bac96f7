"""The runtime directory is ours and closed to others, or there is none."""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from credhelper import wire

if TYPE_CHECKING:
    from types import ModuleType

NOBODY = 65534
linux = pytest.mark.skipif(sys.platform != "linux", reason="XDG_RUNTIME_DIR is the desktop's on Linux")


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The declared directory and the one that stands for /tmp, in place of this machine's."""
    declared, shared = tmp_path / "declared", tmp_path / "tmp"
    declared.mkdir(mode=0o700)
    shared.mkdir()
    shared.chmod(0o1777)
    candidates = [(str(declared), "credhelper"), (str(shared), "credhelper-me")]
    monkeypatch.setattr(wire, "_candidates", lambda _: candidates)
    return [declared / "credhelper", shared / "credhelper-me"]


def found() -> str | None:
    """What is chosen."""
    return wire.runtime_directory({})


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a path another user's; who may not has its owner reported so instead."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        return
    stat_of = os.stat

    def reported(name: str, **options: bool) -> os.stat_result:
        real = stat_of(name, **options)
        foreign = os.path.abspath(name) == str(path)
        return os.stat_result([*real[:4], NOBODY, *real[5:]]) if foreign else real

    monkeypatch.setattr(os, "stat", reported)
    monkeypatch.setattr(os, "lstat", lambda name: reported(name, follow_symlinks=False))


def test_made_private(places: list[Path]) -> None:
    """The directory is made in the declared place, 0700 whatever the umask, and found again."""
    before = os.umask(0)
    try:
        assert found() == str(places[0])
    finally:
        os.umask(before)
    assert stat.S_IMODE(places[0].stat().st_mode) == 0o700
    assert found() == str(places[0])


def test_the_declared_place_is_not_there(places: list[Path]) -> None:
    """A declared directory that does not exist is not made: the next place it is."""
    places[0].parent.rmdir()
    assert found() == str(places[1])
    assert not places[0].parent.exists()


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o750, 0o1700, 0o500])
def test_open_to_others(places: list[Path], mode: int) -> None:
    """A directory with any other mode is not used, and stays as it is."""
    places[0].mkdir()
    places[0].chmod(mode)
    assert found() == str(places[1])
    assert stat.S_IMODE(places[0].stat().st_mode) == mode


@pytest.mark.parametrize("kind", ["link", "dangling", "file", "fifo"])
def test_not_a_directory(places: list[Path], tmp_path: Path, kind: str) -> None:
    """A link, even to a private directory of ours, a file or a FIFO is not used."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    if kind == "file":
        places[0].touch(0o700)
    elif kind == "fifo":
        os.mkfifo(places[0], 0o700)
    else:
        places[0].symlink_to(private if kind == "link" else tmp_path / "nowhere")
    assert found() == str(places[1])
    assert list(private.iterdir()) == []


def test_somebody_elses(places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that somebody else was quicker to make is not used, although it is private."""
    places[0].mkdir(mode=0o700)
    give_away(places[0], monkeypatch)
    assert found() == str(places[1])


def test_a_declared_place_of_somebody_elses(places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Under sudo XDG_RUNTIME_DIR is the caller's: nothing is made in it, nor is what is ours there used."""
    give_away(places[0].parent, monkeypatch)
    assert found() == str(places[1])
    assert not places[0].exists()
    places[0].mkdir(mode=0o700)
    assert found() == str(places[1])


@pytest.mark.parametrize(("mode", "chosen"), [(0o777, 1), (0o770, 1), (0o1777, 0), (0o755, 0)])
def test_a_declared_place_that_others_can_write(places: list[Path], mode: int, chosen: int) -> None:
    """Where others could put another directory in the place of ours, it is not used."""
    places[0].parent.chmod(mode)
    assert found() == str(places[chosen])


def test_no_place(places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no place qualifies, there is none."""
    for place in places:
        place.mkdir(mode=0o755)
    assert found() is None
    monkeypatch.setattr(wire, "_candidates", lambda _: [])
    assert found() is None


def test_a_directory_that_goes_away(places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that is removed while we look is not used."""
    make = os.mkdir

    def make_and_lose(path: str, mode: int = 0o777) -> None:
        make(path, mode)
        if path == str(places[0]):
            os.rmdir(path)

    monkeypatch.setattr(os, "mkdir", make_and_lose)
    assert found() == str(places[1])


def module_on(platform: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A copy of the room as another system sees it."""
    assert wire.__file__ is not None
    spec = importlib.util.spec_from_file_location("wire_elsewhere", wire.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "platform", platform)
    spec.loader.exec_module(module)
    return module


@linux
def test_the_places_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """Declared and absolute, else the system's, else in /tmp under a name of our own."""
    module, uid = module_on("linux", monkeypatch), os.geteuid()
    fallbacks = [(f"/run/user/{uid}", "credhelper"), ("/tmp", f"credhelper-{uid}")]
    declared = module._candidates({"XDG_RUNTIME_DIR": "/run/mine"})
    assert list(declared) == [("/run/mine", "credhelper"), *fallbacks]
    for nothing in ({}, {"XDG_RUNTIME_DIR": ""}, {"XDG_RUNTIME_DIR": "here"}):
        assert list(module._candidates(nothing)) == fallbacks


@linux
def test_the_place_on_macos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has one place, in the user's Library."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "Library/Caches").mkdir(parents=True, mode=0o700)
    module = module_on("darwin", monkeypatch)
    expected = str(tmp_path / "Library/Caches/credhelper")
    assert module.runtime_directory({"XDG_RUNTIME_DIR": "/run/mine"}) == expected


@linux
def test_the_place_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows closes LOCALAPPDATA to other users; where it is not declared, there is no place."""
    monkeypatch.chdir(tmp_path)
    module = module_on("win32", monkeypatch)
    chosen = module.runtime_directory({"LOCALAPPDATA": str(tmp_path / "Local")})
    assert chosen == str(tmp_path / "Local/credhelper/run")
    assert Path(chosen).is_dir()
    (tmp_path / "file").touch()
    for wrong in ({}, {"LOCALAPPDATA": "here"}, {"LOCALAPPDATA": str(tmp_path / "file")}):
        assert module.runtime_directory(wrong) is None
    assert sorted(os.listdir(tmp_path)) == ["Local", "declared", "file", "tmp"]
