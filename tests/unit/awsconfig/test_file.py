"""The file of the block on the disk: replaced as a whole or not at all, and what it held is kept."""

from __future__ import annotations

import itertools
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


@pytest.fixture
def file(config):
    return write(config, b"[default]\n")


def put(file: IniFile, reads: Callable[[str], bool] = reads) -> str | None:
    """Write the block as setup does."""
    return config_file.replace(file, block.with_block(file, ENTRIES), reads)


def reread(config: Path) -> str | None:
    """Write the block into the file as it is now."""
    return put(config_file.read(str(config)))


def error_of(error: type[CredhelperError], file: IniFile, reads: Callable[[str], bool] = reads) -> str:
    """The error of `put`, which must leave everything as it was."""
    before = _entries(Path(file.path).parent)
    with pytest.raises(error) as caught:
        put(file, reads)
    assert _entries(Path(file.path).parent) == before
    return caught.value.sentence


def _entries(directory: Path) -> list[tuple[object, ...]]:
    found = [(path, path.lstat(), path.is_file() and path.read_bytes()) for path in directory.iterdir()]
    return [(path, at.st_ino, at.st_mode, at.st_mtime_ns, content) for path, at, content in found]


def test_new_file_and_directory_are_private(tmp_path):
    path = tmp_path / "new" / "aws" / "config"
    file = config_file.read(str(path))
    assert (file.exists, file.text) == (False, b"")
    umask = os.umask(0)
    try:
        assert put(file) is None
    finally:
        os.umask(umask)
    assert path.read_text() == WRITTEN
    modes = [stat.S_IMODE(place.stat().st_mode) for place in (path, path.parent, path.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]


def test_unchanged_content_writes_nothing(tmp_path, config):
    put(write(config, b""))
    status = config.stat()
    assert reread(config) is None
    assert (config.stat().st_ino, config.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)
    missing = config_file.read(str(tmp_path / "missing" / "config"))
    config_file.replace(missing, block.without_block(missing), reads)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_mode_owner_and_group_stay(config, file, mode):
    if os.geteuid() == 0:
        os.chown(config, -1, OTHER_USER)
    config.chmod(mode)
    before = config.stat()
    reread(config)
    after = config.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino


@pytest.mark.parametrize("relative", [False, True])
def test_symbolic_link_stays_and_its_target_is_replaced(tmp_path, config, relative):
    target = tmp_path / "dotfiles" / "aws-config"
    target.parent.mkdir()
    target.write_bytes(b"[default]\n")
    middle = target.with_name("link")
    middle.symlink_to(target.name)
    config.symlink_to(os.path.relpath(middle, config.parent) if relative else middle)
    reread(config)
    assert config.is_symlink()
    assert middle.is_symlink()
    assert target.read_bytes() == b"[default]\n\n" + WRITTEN.encode()
    assert sorted(path.name for path in target.parent.iterdir()) == ["aws-config", "link"]


def test_target_of_a_dangling_link_is_created(tmp_path, config):
    config.symlink_to(tmp_path / "dotfiles" / "config")
    reread(config)
    assert config.is_symlink()
    assert (tmp_path / "dotfiles" / "config").read_text() == WRITTEN


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda config: config.chmod(0o400), "'{0}' is read-only"),  # though a rename could replace it
        (lambda config: config.parent.chmod(0o500), "'{0.parent}' is read-only"),
        (lambda config: os.link(config, config.with_name("other")), "'{0}' has another name"),
        (lambda config: config.write_bytes(b"[a]\n"), "'{0}' has just been changed by another program"),
    ],
    ids=["read-only file", "read-only directory", "second name", "changed since it was read"],
)
def test_file_that_must_not_be_replaced_is_refused_also_for_root(config, file, change, sentence):
    change(config)
    message = error_of(ConfigError, file)
    config.parent.chmod(0o700)
    assert message.startswith(sentence.format(config))


@pytest.mark.parametrize("what", ["file", "directory", "target"])
def test_file_directory_or_target_of_another_user_is_refused_also_for_root(config, file, monkeypatch, what):
    if what == "target":
        config.rename(config.with_name("real"))
        config.symlink_to("real")
    foreign = {"file": config, "directory": config.parent, "target": config.with_name("real")}[what]
    if os.geteuid() == 0:
        os.chown(foreign, OTHER_USER, OTHER_USER)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: OTHER_USER)
    assert error_of(ConfigError, file).endswith("belongs to another user")


@pytest.mark.parametrize("kind", ["directory", "fifo", "device", "loop"])
def test_anything_but_a_file_is_refused_without_hanging(config, kind):
    make = {
        "directory": config.mkdir,
        "fifo": lambda: os.mkfifo(config),
        "device": lambda: config.symlink_to(os.devnull),
        "loop": lambda: config.symlink_to(config.name),
    }
    make[kind]()
    with pytest.raises(ConfigError, match=f"cannot read '{config}': (not a|is a dir|too many)"):
        config_file.read(str(config))


def test_file_that_appeared_since_it_was_looked_for_is_refused(config):
    missing = config_file.read(str(config))
    write(config, b"[default]\n")
    assert error_of(ConfigError, missing) == f"'{config}' has just been changed by another program"


def test_result_that_botocore_cannot_read_never_replaces_the_file(config, file):
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
        (b"[a]\ns3 =\n  secret-without-equals\n", "neither boto3 nor the AWS CLI can read"),
        ("[a]\n".encode("utf-16"), "is not valid UTF-8"),
    ],
)
def test_file_that_is_broken_already_stays_and_no_value_is_quoted(config, text, message):
    sentence = error_of(ConfigError, write(config, text))
    assert sentence.startswith(f"'{config}' ")
    assert message in sentence
    assert "secret" not in sentence


@pytest.mark.parametrize("full_at", [1, 2], ids=["first write", "second write"])
def test_full_disk_is_reported_and_leaves_the_file_and_no_other(config, file, monkeypatch, full_at):
    fsync, calls = os.fsync, itertools.count(1)

    def full(descriptor):
        if next(calls) == full_at:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    assert error_of(CredhelperError, file) == f"cannot write '{config}': no space left on device"


def test_first_block_makes_a_private_backup_and_later_changes_none(config, file):
    config.chmod(0o644)
    kept = reread(config)
    assert kept == f"{config}.credhelper-backup"
    assert Path(kept).read_bytes() == b"[default]\n"
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
    file = config_file.read(str(config))
    assert config_file.replace(file, block.with_block(file, ENTRIES[:1]), reads) is None
    file = config_file.read(str(config))
    assert config_file.replace(file, block.without_block(file), reads) is None
    assert sorted(path.name for path in config.parent.iterdir()) == ["config", "config.credhelper-backup"]


def test_backup_of_other_text_is_never_overwritten_and_an_equal_one_is_reused(config):
    names = []
    for text in (b"[a]\n", b"[b]\n", b"[a]\n", b"[c]\n", b"[b]\n"):
        kept = put(write(config, text))
        assert kept is not None
        assert Path(kept).read_bytes() == text
        names.append(kept.removeprefix(f"{config}.credhelper-backup"))
    assert names == ["", ".2", "", ".3", ".2"]


def test_directory_or_dangling_link_in_place_of_the_backup_is_skipped(config):
    config.with_name("config.credhelper-backup").mkdir()
    config.with_name("config.credhelper-backup.2").symlink_to("nowhere")
    assert put(write(config, b"[a]\n")) == f"{config}.credhelper-backup.3"
    assert not config.with_name("nowhere").exists()


def test_edited_block_is_backed_up_before_it_goes(config):
    text = WRITTEN.replace("# END", "[profile mine]\naws_access_key_id = AKIAMINE\n# END").encode()
    file = write(config, text)
    kept = config_file.replace(file, block.without_block(file), reads)
    assert kept is not None
    assert Path(kept).read_bytes() == text


def test_backup_of_a_linked_file_is_next_to_the_link(tmp_path, config):
    (tmp_path / "real").write_bytes(b"[a]\n")
    config.symlink_to(tmp_path / "real")
    assert reread(config) == f"{config}.credhelper-backup"
