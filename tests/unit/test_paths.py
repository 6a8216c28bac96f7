"""Files are private, have whole lines, and are never in another user's directories."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from credhelper import paths

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


NOBODY = 65534
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are POSIX's")


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a path another user's; who may not give one away becomes another user instead."""

    def give_away(path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: NOBODY)

    return give_away


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


class TestPlaces:
    """Where the files are."""

    def test_files_are_in_the_platform_directories(self, tmp_path, monkeypatch) -> None:
        for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
            monkeypatch.setenv(name, str(tmp_path / name))
        found = paths.find({})
        if sys.platform == "linux":
            assert found.config == str(tmp_path / "XDG_CONFIG_HOME/credhelper/config.toml")
            assert found.state == str(tmp_path / "XDG_STATE_HOME/credhelper")
        names = [os.path.basename(path) for path in (found.audit, found.items, found.log)]
        assert names == ["audit.jsonl", "items.jsonl", "credhelper.log"]

    def test_credhelper_config_moves_the_configuration(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        assert paths.find({"CREDHELPER_CONFIG": "~/mine.toml"}).config == str(tmp_path / "mine.toml")
        assert paths.find({"CREDHELPER_CONFIG": "mine.toml"}).config == str(tmp_path / "mine.toml")
        assert paths.find({"CREDHELPER_CONFIG": ""}) == paths.find({})


class TestOwnership:
    """Files of other users stay untouched."""

    def test_own_directory_is_writable_even_before_it_exists(self, tmp_path: Path) -> None:
        assert paths.may_write_in(str(tmp_path))
        assert paths.may_write_in(str(tmp_path / "a/b/c"))

    def test_directory_of_another_user_is_neither_read_written_nor_rotated(self, tmp_path, foreign) -> None:
        home = tmp_path / "home"
        home.mkdir()
        (home / "log").write_text("theirs\n" + "x" * paths.LOG_LIMIT)
        foreign(home / "log")
        foreign(home)
        for path in (home / "log", home / "state/credhelper/log"):
            with pytest.raises(PermissionError, match="belongs to another user"):
                paths.append_line(str(path), "line")
            with pytest.raises(PermissionError, match="belongs to another user"):
                paths.replace_private(str(path), "line\n")
            assert paths.read_lines(str(path)) == []
        paths.rotate(str(home / "log"))
        assert [path.name for path in home.iterdir()] == ["log"]
        assert (home / "log").read_text() == "theirs\n" + "x" * paths.LOG_LIMIT

    def test_file_of_another_user_is_neither_read_nor_written(self, tmp_path, foreign) -> None:
        file = tmp_path / "log"
        file.write_text("theirs\n")
        foreign(file)
        with pytest.raises(PermissionError):
            paths.append_line(str(file), "line")
        assert paths.read_lines(str(file)) == []
        assert file.read_text() == "theirs\n"

    @pytest.mark.parametrize("theirs", ["link", "directory"])
    def test_link_of_another_user_or_to_their_directory_is_not_followed(self, tmp_path, foreign, theirs):
        (tmp_path / "directory").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "directory")
        assert paths.may_write_in(str(tmp_path / "link"))
        foreign(tmp_path / theirs)
        assert not paths.may_write_in(str(tmp_path / "link"))

    def test_dangling_link_is_no_directory(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        assert not paths.may_write_in(str(tmp_path / "link"))


class TestFiles:
    """What is written is private and whole."""

    def test_files_and_directories_are_private_whatever_the_umask(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            paths.append_line(str(tmp_path / "a/b/log"), "line")
            paths.replace_private(str(tmp_path / "a/items"), "line\n")
        finally:
            os.umask(before)
        assert [mode(tmp_path / path) for path in ("a", "a/b")] == [0o700] * 2
        assert [mode(tmp_path / path) for path in ("a/b/log", "a/items")] == [0o600] * 2

    def test_reading_or_rotating_a_missing_file_creates_nothing(self, tmp_path: Path) -> None:
        paths.rotate(str(tmp_path / "log"))
        assert paths.read_lines(str(tmp_path / "a/log")) == []
        assert list(tmp_path.iterdir()) == []

    def test_link_in_place_of_a_file_is_not_followed(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("precious\n")
        for name, target in (("log", victim), ("new", tmp_path / "nothing")):
            (tmp_path / name).symlink_to(target)
            with pytest.raises(OSError, match="symbolic links"):
                paths.append_line(str(tmp_path / name), "line")
            assert paths.read_lines(str(tmp_path / name)) == []
        assert victim.read_text() == "precious\n"
        assert not (tmp_path / "nothing").exists()

    @pytest.mark.parametrize("kind", ["fifo", "directory"])
    def test_fifo_or_directory_in_place_of_a_file_is_an_error(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "log"
        os.mkfifo(path) if kind == "fifo" else path.mkdir()
        with pytest.raises((PermissionError, IsADirectoryError)):
            paths.append_line(str(path), "line")
        assert paths.read_lines(str(path)) == []

    def test_line_after_a_cut_one_is_whole(self, tmp_path: Path) -> None:
        file = tmp_path / "log"
        file.write_text("cut")
        paths.append_line(str(file), "whole \N{KEY}")
        assert paths.read_lines(str(file)) == ["cut", "whole \\U0001f511"]

    def test_replace_leaves_only_the_new_file(self, tmp_path: Path) -> None:
        path = str(tmp_path / "items")
        paths.replace_private(path, "one\ntwo\n")
        paths.replace_private(path, "three\n")
        with pytest.raises(ValueError, match="no"):
            paths.write_atomically(path, b"four\n", lambda _: int("no"))
        assert paths.read_lines(path) == ["three"]
        assert os.listdir(tmp_path) == ["items"]


class TestDisk:
    """A disk that takes nothing more."""

    def test_line_cut_short_is_an_error_and_the_next_is_whole(self, tmp_path, monkeypatch) -> None:
        path, write = str(tmp_path / "log"), os.write
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:5]))
            with pytest.raises(OSError, match="No space left"):
                paths.append_line(path, "a long line")
        paths.append_line(path, "another")
        assert paths.read_lines(path) == ["a lon", "another"]


class TestRotation:
    """The log does not grow for ever."""

    def test_log_over_1_mib_is_rotated_once(self, tmp_path: Path) -> None:
        log, old = tmp_path / "log", tmp_path / "log.1"
        assert paths.LOG_LIMIT == 1024 * 1024
        for first in (b"a", b"b"):
            log.write_bytes(first * paths.LOG_LIMIT)
            paths.rotate(str(log))
            assert log.exists()
            log.write_bytes(first * (paths.LOG_LIMIT + 1))
            paths.rotate(str(log))
            assert not log.exists()
            assert old.read_bytes()[:1] == first
        assert [path.name for path in tmp_path.iterdir()] == ["log.1"]
