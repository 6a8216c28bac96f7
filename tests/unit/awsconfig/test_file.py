"""The file of the block on the disk: replaced as a whole or not at all, and what it held is kept."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from credhelper.awsconfig import block
from credhelper.awsconfig import file as config_file
from credhelper.errors import ConfigError, CredhelperError

from blocks import ENTRIES, WRITTEN, reads, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from credhelper.awsconfig.ini import IniFile


OTHER_USER = 65534


def put(file: IniFile, reads: Callable[[str], bool] = reads) -> str | None:
    """What setup does."""
    return config_file.replace(file, block.with_block(file, ENTRIES), reads)


def error_of(error: type[CredhelperError], file: IniFile, reads: Callable[[str], bool] = reads) -> str:
    """What `put` says when it refuses; it has to leave everything as it was."""
    directory = Path(file.path).parent
    before = {path: (path.lstat(), path.is_file() and path.read_bytes()) for path in directory.iterdir()}
    with pytest.raises(error) as caught:
        put(file, reads)
    after = {path: (path.lstat(), path.is_file() and path.read_bytes()) for path in directory.iterdir()}
    assert [(path, *_shape(entry)) for path, entry in after.items()] == [
        (path, *_shape(entry)) for path, entry in before.items()
    ]
    return caught.value.sentence


def _shape(entry: tuple[os.stat_result, object]) -> tuple[object, ...]:
    status, content = entry
    return status.st_ino, status.st_mode, status.st_mtime_ns, content


def test_new_file_and_directory_are_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "aws" / "config"
    file = config_file.read(str(path))
    assert (file.exists, file.text) == (False, b"")
    umask = os.umask(0)
    try:
        assert put(file) is None
    finally:
        os.umask(umask)
    assert path.read_text() == WRITTEN
    assert [stat.S_IMODE(place.stat().st_mode) for place in (path, path.parent, path.parent.parent)] == [
        0o600,
        0o700,
        0o700,
    ]


def test_unchanged_content_writes_nothing(tmp_path: Path, config: Path) -> None:
    put(write(config, b""))
    status = config.stat()
    assert put(config_file.read(str(config))) is None
    assert (config.stat().st_ino, config.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)
    missing = config_file.read(str(tmp_path / "missing" / "config"))
    config_file.replace(missing, block.without_block(missing), reads)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_mode_owner_and_group_stay(config: Path, mode: int) -> None:
    write(config, b"[default]\n")
    if os.geteuid() == 0:
        os.chown(config, -1, OTHER_USER)
    config.chmod(mode)
    before = config.stat()
    put(config_file.read(str(config)))
    after = config.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino


@pytest.mark.parametrize("relative", [False, True])
def test_symbolic_link_stays_and_its_target_is_replaced(
    tmp_path: Path, config: Path, *, relative: bool
) -> None:
    target = tmp_path / "dotfiles" / "aws-config"
    target.parent.mkdir()
    target.write_bytes(b"[default]\n")
    middle = target.with_name("link")
    middle.symlink_to(target.name)
    config.symlink_to(os.path.relpath(middle, config.parent) if relative else middle)
    put(config_file.read(str(config)))
    assert config.is_symlink()
    assert middle.is_symlink()
    assert target.read_bytes() == b"[default]\n\n" + WRITTEN.encode()
    assert sorted(path.name for path in target.parent.iterdir()) == ["aws-config", "link"]


def test_target_of_a_dangling_link_is_created(tmp_path: Path, config: Path) -> None:
    config.symlink_to(tmp_path / "dotfiles" / "config")
    put(config_file.read(str(config)))
    assert config.is_symlink()
    assert (tmp_path / "dotfiles" / "config").read_text() == WRITTEN


def test_read_only_file_is_refused_though_a_rename_could_replace_it(config: Path) -> None:
    file = write(config, b"[default]\n")
    config.chmod(0o400)
    assert error_of(ConfigError, file) == f"'{config}' is read-only"


def test_file_in_a_read_only_directory_is_refused_also_for_root(config: Path) -> None:
    file = write(config, b"[default]\n")
    config.parent.chmod(0o500)
    try:
        assert error_of(ConfigError, file) == f"'{config.parent}' is read-only"
    finally:
        config.parent.chmod(0o700)


@pytest.mark.parametrize("what", ["file", "directory", "target"])
def test_file_directory_or_target_of_another_user_is_refused_also_for_root(
    config: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    place = write(config, b"[default]\n")
    if what == "target":
        config.rename(config.with_name("real"))
        config.symlink_to("real")
    foreign = {"file": config, "directory": config.parent, "target": config.with_name("real")}[what]
    if os.geteuid() == 0:
        os.chown(foreign, OTHER_USER, OTHER_USER)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: OTHER_USER)
    assert error_of(ConfigError, place).endswith("belongs to another user")


def test_file_with_a_second_name_is_refused(config: Path) -> None:
    file = write(config, b"[default]\n")
    os.link(config, config.with_name("other"))
    assert "has another name" in error_of(ConfigError, file)


@pytest.mark.parametrize("kind", ["directory", "fifo", "device", "loop"])
def test_anything_but_a_file_is_refused_without_hanging(config: Path, kind: str) -> None:
    make = {
        "directory": config.mkdir,
        "fifo": lambda: os.mkfifo(config),
        "device": lambda: config.symlink_to(os.devnull),
        "loop": lambda: config.symlink_to(config.name),
    }
    make[kind]()
    with pytest.raises(ConfigError, match=f"cannot read '{config}': (not a|is a dir|too many)"):
        config_file.read(str(config))


def test_file_that_changed_since_it_was_read_is_refused(config: Path) -> None:
    file = write(config, b"[default]\n")
    config.write_bytes(b"[default]\nregion = eu-west-1\n")
    assert error_of(ConfigError, file) == f"'{config}' has just been changed by another program"
    config.unlink()
    file = config_file.read(str(config))
    write(config, b"[default]\n")
    assert error_of(ConfigError, file) == f"'{config}' has just been changed by another program"


def test_result_that_botocore_cannot_read_never_replaces_the_file(config: Path) -> None:
    file = write(config, b"[default]\n")
    message = error_of(ConfigError, file, lambda path: path == str(config))
    assert (
        message == f"'{config}' would be a file that botocore does not read, with credhelper's profiles in it"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[profile a]\nsecret-without-equals\n", "line 2: not understood"),
        (b"[profile a]\n[profile a]\n", "line 2: a second [profile a]"),
        (b"region = x\n", "line 1: no section before it"),
        (
            b"[a]\ns3 =\n  secret-without-equals\n",
            "neither boto3 nor the AWS CLI can read",
        ),
        ("[a]\n".encode("utf-16"), "is not valid UTF-8"),
    ],
)
def test_file_that_is_broken_already_stays_and_no_value_is_quoted(
    config: Path, text: bytes, message: str
) -> None:
    sentence = error_of(ConfigError, write(config, text))
    assert sentence.startswith(f"'{config}' ")
    assert message in sentence
    assert "secret" not in sentence


def test_full_disk_is_reported_and_leaves_nothing_behind(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(config, b"[default]\n")

    def fsync(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    assert error_of(CredhelperError, file) == f"cannot write '{config}': no space left on device"


def test_first_block_makes_a_private_backup_and_later_changes_none(config: Path) -> None:
    write(config, b"[default]\n")
    config.chmod(0o644)
    kept = put(config_file.read(str(config)))
    assert kept == f"{config}.credhelper-backup"
    assert Path(kept).read_bytes() == b"[default]\n"
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
    file = config_file.read(str(config))
    assert config_file.replace(file, block.with_block(file, ENTRIES[:1]), reads) is None
    file = config_file.read(str(config))
    assert config_file.replace(file, block.without_block(file), reads) is None
    assert sorted(path.name for path in config.parent.iterdir()) == ["config", "config.credhelper-backup"]


def test_backup_of_other_text_is_never_overwritten_and_an_equal_one_is_reused(config: Path) -> None:
    names = []
    for text in (b"[a]\n", b"[b]\n", b"[a]\n", b"[c]\n", b"[b]\n"):
        kept = put(write(config, text))
        assert kept is not None
        assert Path(kept).read_bytes() == text
        names.append(kept.removeprefix(f"{config}.credhelper-backup"))
    assert names == ["", ".2", "", ".3", ".2"]


def test_directory_or_dangling_link_in_place_of_the_backup_is_skipped(config: Path) -> None:
    config.with_name("config.credhelper-backup").mkdir()
    config.with_name("config.credhelper-backup.2").symlink_to("nowhere")
    assert put(write(config, b"[a]\n")) == f"{config}.credhelper-backup.3"
    assert not config.with_name("nowhere").exists()


def test_edited_block_is_backed_up_before_it_goes(config: Path) -> None:
    text = WRITTEN.replace("# END", "[profile mine]\naws_access_key_id = AKIAMINE\n# END").encode()
    file = write(config, text)
    kept = config_file.replace(file, block.without_block(file), reads)
    assert kept is not None
    assert Path(kept).read_bytes() == text


def test_backup_of_a_linked_file_is_next_to_the_link(tmp_path: Path, config: Path) -> None:
    (tmp_path / "real").write_bytes(b"[a]\n")
    config.symlink_to(tmp_path / "real")
    assert put(config_file.read(str(config))) == f"{config}.credhelper-backup"


def test_unfinished_backup_is_removed_and_the_file_unchanged(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(config, b"[default]\n")
    fsync, calls = os.fsync, []

    def second_fails(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", second_fails)
    assert "no space left" in error_of(CredhelperError, file)
