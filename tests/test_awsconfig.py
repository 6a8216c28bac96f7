"""What setup writes into ~/.aws/config: nothing outside its block, nothing that an SDK stumbles over."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.compat import _windows_shell_split
from botocore.configloader import load_config
from botocore.exceptions import BotoCoreError, ConfigNotFound, ConfigParseError
from hypothesis import given, settings
from hypothesis import strategies as st

from credhelper import awsconfig
from credhelper.awsconfig import Entry, IniFile
from credhelper.errors import ConfigError, CredhelperError

from laptop import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Callable

NOBODY = 65534
ENTRIES = (
    Entry("developer", "/home/me/.local/bin/credhelper-get developer", "eu-west-1"),
    Entry("audit-root@payments-prod", "/home/me/.local/bin/credhelper-get audit-root@payments-prod"),
)
WRITTEN = """\
# BEGIN credhelper
# 'credhelper setup' writes what stands here, replaces it, and takes it out again with --remove.
# Lines of your own belong above BEGIN or below END.
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
    return awsconfig.read(str(path))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Where ~/.aws/config would be."""
    directory = tmp_path / "aws"
    directory.mkdir(mode=0o700)
    return directory / "config"


def refusal(file: IniFile, entries: tuple[Entry, ...] = ENTRIES) -> str:
    """What with_block says when it refuses."""
    with pytest.raises(ConfigError) as caught:
        awsconfig.with_block(file, entries)
    return caught.value.sentence


class TestBlock:
    """Text in, text out."""

    @pytest.mark.parametrize("name", FILES)
    def test_real_world_file(self, config: Path, name: str) -> None:
        """Only the block changes, botocore reads the file, twice is once, --remove restores the bytes."""
        before = write(config, FILES[name])
        others = load_config(before.path)
        awsconfig.replace(before, awsconfig.with_block(before, ENTRIES), reads)
        after = awsconfig.read(before.path)
        assert after.text.startswith(FILES[name])
        assert load_config(after.path) == {**others, "profiles": {**others["profiles"], **PROFILES}}
        assert awsconfig.with_block(after, ENTRIES) == after.text
        assert awsconfig.block_entries(after) == ENTRIES
        awsconfig.replace(after, awsconfig.without_block(after), reads)
        assert config.read_bytes() == FILES[name]

    def test_text(self) -> None:
        """The block says who writes it and who may not, and is set apart by an empty line."""
        file = IniFile("config", b"[default]\nregion = eu-west-1\n")
        assert awsconfig.with_block(file, ENTRIES) == file.text + b"\n" + WRITTEN.encode()
        assert awsconfig.with_block(IniFile("config", b""), ENTRIES) == WRITTEN.encode()

    def test_line_ends(self) -> None:
        """The block has the line ends of the file."""
        file = IniFile("config", b"[default]\r\n")
        ours = awsconfig.with_block(file, ENTRIES).removeprefix(file.text)
        assert ours.count(b"\r\n") == ours.count(b"\n") == WRITTEN.count("\n") + 1

    def test_default(self, config: Path) -> None:
        """The profile 'default' has the header that every SDK and the AWS CLI know."""
        write(config, awsconfig.with_block(IniFile("config", b""), [Entry("default", "x")]))
        assert b"[default]\n" in config.read_bytes()
        assert load_config(str(config))["profiles"] == {"default": {"credential_process": "x"}}

    def test_change(self) -> None:
        """Other entries take the place of the old ones, and what stands around keeps its place."""
        above, below = b"[profile a]\nregion = eu-west-1\n", b"\n# more\n[profile b]\nregion = eu-west-1"
        file = IniFile("config", awsconfig.with_block(IniFile("config", above), ENTRIES) + below)
        changed = IniFile("config", awsconfig.with_block(file, ENTRIES[:1]))
        assert changed.text == awsconfig.with_block(IniFile("config", above), ENTRIES[:1]) + below
        assert awsconfig.without_block(changed) == above + below
        assert awsconfig.with_block(changed, []) == above + below

    def test_removal_joins_no_lines(self) -> None:
        """What was added below the block stays on a line of its own when the block goes."""
        file = IniFile("config", awsconfig.with_block(IniFile("config", b"[profile a]"), ENTRIES) + b"[b]")
        assert awsconfig.without_block(file) == b"[profile a]\n[b]"

    def test_no_block(self) -> None:
        """Where there is no block there is nothing to remove, and there are no entries."""
        for text in FILES.values():
            file = IniFile("config", text)
            assert awsconfig.without_block(file) == text
            assert awsconfig.block_entries(file) == ()
            assert not awsconfig.is_edited(file)

    @pytest.mark.parametrize(
        "header",
        [
            b"[profile developer]",
            b"[profile   developer]",
            b"[profiles developer]",
            b'[profile "developer"]',
            b"[profile 'developer'] ; mine",
            b"[ profile developer ]",
            b"  [profile developer]",
            b"[profile\tdeveloper] # mine, too [profile x]",
        ],
    )
    @pytest.mark.parametrize("below", [False, True])
    def test_same_name_outside(self, header: bytes, *, below: bool) -> None:
        """A profile of the same name outside the block is refused, with its line, however it is spelt."""
        text = b"[profile a]\n\n" + header + b"\nregion = eu-west-1\n"
        if below:
            text = awsconfig.with_block(IniFile("~/.aws/config", b""), ENTRIES[1:]) + text.lstrip()
        said = refusal(IniFile("~/.aws/config", text))
        wrong = "profile 'developer' is there already, and not written by credhelper"
        assert said == f"'~/.aws/config' line {9 if below else 3}: {wrong}"

    def test_botocore_refuses_a_second_one(self, config: Path) -> None:
        """What that guards against: botocore reads no profile at all of such a file."""
        write(config, WRITTEN.encode() + b"[profile developer]\n")
        assert not reads(str(config))

    @pytest.mark.parametrize("header", [b"[default]", b"[profile default]"])
    def test_default_outside(self, header: bytes) -> None:
        """Both spellings of the default profile are the same name."""
        said = refusal(IniFile("config", header), (Entry("default", "x"),))
        assert said.startswith("'config' line 1: profile 'default' is there already")

    def test_same_name_of_another_kind(self) -> None:
        """An SSO session or a services section of the same name is no profile."""
        text = b"[sso-session developer]\nsso_region = eu-west-1\n[services developer]\n[developer]\n"
        assert awsconfig.with_block(IniFile("config", text), ENTRIES).startswith(text)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                b"[a]\n# BEGIN credhelper\n[b]\n",
                "line 2: '# BEGIN credhelper' has no '# END credhelper' below it",
            ),
            (b"[a]\n# END credhelper\n", "line 2: '# END credhelper' has no '# BEGIN credhelper' above it"),
            (b"# END credhelper\n# BEGIN credhelper\n", "line 1: '# END credhelper' has no"),
            (2 * WRITTEN.encode(), "line 11: a second '# BEGIN credhelper': the first is in line 1"),
            (b"# BEGIN credhelper\r" + WRITTEN.encode(), "line 2: a second '# BEGIN credhelper'"),
            (WRITTEN.encode() + b"# END credhelper", "line 11: '# END credhelper' has no"),
            (
                WRITTEN.encode() + b"\n [profile x]\n",
                "line 12: is indented, so that it continues the profile",
            ),
        ],
    )
    def test_unpaired_marks(self, text: bytes, said: str) -> None:
        """Marks that do not pair are refused with their line, by everything that would have to guess."""
        file = IniFile("~/.aws/config", text)
        assert refusal(file).startswith(f"'~/.aws/config' {said}")
        for function in (awsconfig.without_block, awsconfig.block_entries, awsconfig.is_edited):
            with pytest.raises(ConfigError, match="line"):
                function(file)

    def test_marks_with_spaces(self) -> None:
        """An editor that indents the marks, or leaves spaces behind them, has not hidden the block."""
        text = WRITTEN.replace("# BEGIN credhelper", "  # BEGIN credhelper  ").encode()
        assert awsconfig.with_block(IniFile("config", text), ENTRIES) == WRITTEN.encode()

    def test_edited_by_hand(self) -> None:
        """An edited block is known to be one; the next setup writes it anew, and --remove takes it whole."""
        above = b"[profile a]\noutput = json\n"
        text = awsconfig.with_block(IniFile("config", above), ENTRIES)
        edits = {
            "a key": text.replace(b"region = eu-west-1\n\n", b"region = eu-west-1\noutput = json\n\n"),
            "a profile": text.replace(b"# END", b"[profile mine]\naws_access_key_id = AKIAMINE\n# END"),
            "a comment": text.replace(b"[profile audit", b"# root\n[profile audit"),
        }
        assert not awsconfig.is_edited(IniFile("config", text))
        assert not awsconfig.is_edited(IniFile("config", text.rstrip()))
        assert not awsconfig.is_edited(IniFile("config", text.replace(b".local/", b"")))
        for edited in edits.values():
            file = IniFile("config", edited)
            assert awsconfig.is_edited(file)
            assert awsconfig.with_block(file, ENTRIES) == text
            assert awsconfig.without_block(file) == above

    def test_entries_of_an_edited_block(self) -> None:
        """Entries that could not be written back are left out."""
        text = WRITTEN.replace(
            "region = eu-west-1", "region = eu west\n[profile half one]\n[x]\ncredential_process = y"
        )
        assert awsconfig.block_entries(IniFile("config", text.encode())) == ENTRIES[1:]

    @pytest.mark.parametrize("profile", PROFILES)
    def test_aws_configure(self, config: Path, profile: str) -> None:
        """What `aws configure set` adds to a profile of ours, even below END, belongs to the block."""
        if not Path("/usr/bin/aws").exists():
            (pytest.fail if os.environ.get("CI") else pytest.skip)("AWS CLI v2 is not installed")
        above = b"[profile a]\nregion = eu-west-1\n"
        ours = awsconfig.with_block(IniFile("config", above), ENTRIES)
        write(config, ours)
        environ = {"AWS_CONFIG_FILE": str(config), "HOME": str(config.parent), "PATH": "/usr/bin:/bin"}
        command = ["/usr/bin/aws", "configure", "set", "s3.addressing_style", "path", "--profile", profile]
        subprocess.run(command, env=environ, check=True)
        below = b"\n# the new one\n[profile b]\nregion = eu-west-1\n"
        file = IniFile("config", config.read_bytes() + below)
        assert b"addressing_style = path" in file.text
        assert awsconfig.is_edited(file)
        assert awsconfig.without_block(file) == above + below
        assert awsconfig.with_block(file, ENTRIES) == ours + below

    @pytest.mark.parametrize(
        "entry",
        [
            Entry("", "x"),
            Entry("a b", "x"),
            Entry("a]\n[profile b", "x"),
            Entry("a@b@c", "x"),
            Entry("@a", "x"),
            Entry("a\n", "x"),
            Entry("\x1b[2J", "x"),
            Entry("a", ""),
            Entry("a", " "),
            Entry("a", "x\nrole_arn = y"),
            Entry("a", "x\r[profile b]"),
            Entry("a", "x\x1b"),
            Entry("a", "x\udcff"),
            Entry("a", "x", "eu-west-1\nrole_arn = y"),
            Entry("a", "x", ""),
        ],
    )
    def test_hostile_entry(self, entry: Entry) -> None:
        """No name, command or region from outside gets another line into the file."""
        refusal(IniFile("config", b""), (entry,))

    def test_entry_twice(self) -> None:
        """The same name twice would be the second section that botocore refuses."""
        assert refusal(IniFile("config", b""), ENTRIES * 2) == "profile 'developer' would be written twice"

    def test_byte_order_mark(self, config: Path) -> None:
        """A file with a byte order mark is refused, as botocore refuses it. A block in it is still found."""
        file = write(config, b"\xef\xbb\xbf[default]\n")
        assert not reads(file.path)
        assert "begins with a byte order mark" in refusal(file)
        marked = IniFile("config", b"\xef\xbb\xbf" + WRITTEN.encode())
        assert awsconfig.block_entries(marked) == ENTRIES
        assert awsconfig.without_block(marked) == b"\xef\xbb\xbf"


SECTIONS = (
    "[default]\nregion = eu-west-1\n",
    "[profile a]\nregion = us-east-1\n# a comment\n",
    "[profile b] ; why\ns3 =\n  addressing_style = path\n  # [profile developer]\n\n",
    "[profile 'c d']\n  region = eu-west-1\n  output = json\n",
    "[sso-session developer]\nsso_region = eu-west-1\n",
    "[services s]\nsts =\n  endpoint_url = http://127.0.0.1:1\n\t\n",
    "[profile e]\n",
    "[preview]\ncloudfront = true\n\n\n",
    "[profile long]\nca_bundle = /a\n /b\n",
)
COMMENTS = ("", "# mine\n", "\n\n; BEGIN credhelper\n", "#\n", "# BEGIN credhelper, or so\n\n")
LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
ENTRY = st.builds(
    Entry,
    st.from_regex(awsconfig.NAME, fullmatch=True).filter(
        lambda name: name not in ("default", "a", "b", "e", "long")
    ),
    st.from_regex(r"/[a-z/]{1,9}/credhelper-get x", fullmatch=True),
    st.sampled_from([None, "eu-west-1"]),
)
ENTRY_LISTS = st.lists(ENTRY, max_size=3, unique_by=lambda entry: entry.name)


@st.composite
def texts(draw: Any, parts: int = 1) -> list[bytes]:
    """A file in parts, of sections that botocore reads, with line ends of one kind or of all."""
    sections = draw(st.permutations(SECTIONS))[: draw(st.integers(0, len(SECTIONS)))]
    cuts = [0, *sorted(draw(st.integers(0, len(sections))) for _ in range(parts - 1)), len(sections)]
    ends = draw(
        st.one_of(LINE_ENDS.map(itertools.repeat), st.lists(LINE_ENDS, min_size=9).map(itertools.cycle))
    )
    found = []
    for first, last in itertools.pairwise(cuts):
        text = "".join(draw(st.sampled_from(COMMENTS)) + section for section in sections[first:last])
        text += draw(st.sampled_from(COMMENTS))
        lines = zip(text.split("\n")[:-1], ends, strict=False)
        found.append("".join(line + end for line, end in lines).encode())
    found[-1] = found[-1] if draw(st.booleans()) else found[-1].rstrip(b"\r\n")
    return found


def _config(path: str, text: bytes) -> Any:
    """What botocore makes of a text."""
    Path(path).write_bytes(text)
    return load_config(path)


def _with(others: Any, entries: list[Entry]) -> Any:
    """What botocore has to make of a file with these entries beside what it has of its own."""
    ours = {
        entry.name: {
            "credential_process": entry.command,
            **({"region": entry.region} if entry.region else {}),
        }
        for entry in entries
    }
    return {**others, "profiles": {**others["profiles"], **ours}}


@settings(max_examples=30, deadline=None)
@given(texts(), ENTRY_LISTS, ENTRY_LISTS)
def test_any_file(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], first: list[Entry], second: list[Entry]
) -> None:
    """Of any file: the block goes in and out without a trace, and botocore sees the same other profiles."""
    path, (text,) = str(tmp_path_factory.getbasetemp() / "any"), parts
    others, file = _config(path, text), IniFile(path, text)
    for entries in (first, second, second):
        file = IniFile(path, awsconfig.with_block(file, entries))
        assert awsconfig.without_block(file) == text
        assert awsconfig.block_entries(file) == tuple(entries)
        assert _config(path, file.text) == _with(others, entries)


@settings(max_examples=30, deadline=None)
@given(texts(parts=2), ENTRY_LISTS.filter(bool), ENTRY_LISTS.filter(bool))
def test_any_place(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], first: list[Entry], second: list[Entry]
) -> None:
    """Of a block with any text above and below, only the block changes."""
    path, (above, below) = str(tmp_path_factory.getbasetemp() / "any"), parts
    others = _config(path, above + below)
    file = IniFile(path, above + awsconfig.with_block(IniFile("config", b""), first) + below)
    changed = IniFile(path, awsconfig.with_block(file, second))
    assert changed.text.startswith(above)
    assert changed.text.endswith(below)
    assert awsconfig.block_entries(changed) == tuple(second)
    assert _config(path, changed.text) == _with(others, second)
    assert _config(path, awsconfig.without_block(changed)) == others


def put(file: IniFile, reads: Callable[[str], bool] = reads) -> str | None:
    """What setup does."""
    return awsconfig.replace(file, awsconfig.with_block(file, ENTRIES), reads)


def said_of(error: type[CredhelperError], file: IniFile, reads: Callable[[str], bool] = reads) -> str:
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


class TestReplace:
    """The file on the disk."""

    def test_new_file(self, tmp_path: Path) -> None:
        """A file that was not there is 0600, in directories that are 0700; there is nothing to keep."""
        path = tmp_path / "new" / "aws" / "config"
        file = awsconfig.read(str(path))
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

    def test_nothing_to_do(self, tmp_path: Path, config: Path) -> None:
        """Where nothing changes nothing is written: not the file, no directory, no copy."""
        put(write(config, b""))
        status = config.stat()
        assert put(awsconfig.read(str(config))) is None
        assert (config.stat().st_ino, config.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)
        missing = awsconfig.read(str(tmp_path / "missing" / "config"))
        awsconfig.replace(missing, awsconfig.without_block(missing), reads)
        assert not (tmp_path / "missing").exists()

    @pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
    def test_mode_and_group(self, config: Path, mode: int) -> None:
        """Mode and group stay as they are."""
        write(config, b"[default]\n")
        if os.geteuid() == 0:
            os.chown(config, -1, NOBODY)
        config.chmod(mode)
        before = config.stat()
        put(awsconfig.read(str(config)))
        after = config.stat()
        assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
        assert after.st_ino != before.st_ino

    @pytest.mark.parametrize("relative", [False, True])
    def test_symbolic_link(self, tmp_path: Path, config: Path, *, relative: bool) -> None:
        """A link stays, and what it leads to is replaced in its own directory."""
        target = tmp_path / "dotfiles" / "aws-config"
        target.parent.mkdir()
        target.write_bytes(b"[default]\n")
        middle = target.with_name("link")
        middle.symlink_to(target.name)
        config.symlink_to(os.path.relpath(middle, config.parent) if relative else middle)
        put(awsconfig.read(str(config)))
        assert config.is_symlink()
        assert middle.is_symlink()
        assert target.read_bytes() == b"[default]\n\n" + WRITTEN.encode()
        assert sorted(path.name for path in target.parent.iterdir()) == ["aws-config", "link"]

    def test_dangling_link(self, tmp_path: Path, config: Path) -> None:
        """What a dangling link leads to is made."""
        config.symlink_to(tmp_path / "dotfiles" / "config")
        put(awsconfig.read(str(config)))
        assert config.is_symlink()
        assert (tmp_path / "dotfiles" / "config").read_text() == WRITTEN

    def test_read_only_file(self, config: Path) -> None:
        """A read-only file is left alone, although a rename could replace it."""
        file = write(config, b"[default]\n")
        config.chmod(0o400)
        assert said_of(ConfigError, file) == f"'{config}' is read-only"

    def test_read_only_directory(self, config: Path) -> None:
        """So is a file in a read-only directory, although root could write there."""
        file = write(config, b"[default]\n")
        config.parent.chmod(0o500)
        try:
            assert said_of(ConfigError, file) == f"'{config.parent}' is read-only"
        finally:
            config.parent.chmod(0o700)

    @pytest.mark.parametrize("what", ["file", "directory", "target"])
    def test_of_another_user(self, config: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
        """Another user's file, directory or link target is left alone, even where root could write to it."""
        place = write(config, b"[default]\n")
        if what == "target":
            config.rename(config.with_name("real"))
            config.symlink_to("real")
        foreign = {"file": config, "directory": config.parent, "target": config.with_name("real")}[what]
        if os.geteuid() == 0:
            os.chown(foreign, NOBODY, NOBODY)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
        assert said_of(ConfigError, place).endswith("belongs to another user")

    def test_hard_link(self, config: Path) -> None:
        """A file with a second name is left alone: a rename would tear the two apart."""
        file = write(config, b"[default]\n")
        os.link(config, config.with_name("other"))
        assert "has another name" in said_of(ConfigError, file)

    @pytest.mark.parametrize("kind", ["directory", "fifo", "device", "loop"])
    def test_no_file(self, config: Path, kind: str) -> None:
        """What is no file is not read, and does not hang us."""
        make = {
            "directory": config.mkdir,
            "fifo": lambda: os.mkfifo(config),
            "device": lambda: config.symlink_to(os.devnull),
            "loop": lambda: config.symlink_to(config.name),
        }
        make[kind]()
        with pytest.raises(ConfigError, match=f"cannot read '{config}': (not a|is a dir|too many)"):
            awsconfig.read(str(config))

    def test_changed_meanwhile(self, config: Path) -> None:
        """What another program wrote since the file was read is not lost."""
        file = write(config, b"[default]\n")
        config.write_bytes(b"[default]\nregion = eu-west-1\n")
        assert said_of(ConfigError, file) == f"'{config}' has just been changed by another program"
        config.unlink()
        file = awsconfig.read(str(config))
        write(config, b"[default]\n")
        assert said_of(ConfigError, file) == f"'{config}' has just been changed by another program"

    def test_unreadable_result(self, config: Path) -> None:
        """A result that botocore would refuse never takes the file's place."""
        file = write(config, b"[default]\n")
        said = said_of(ConfigError, file, lambda path: path == str(config))
        assert (
            said
            == f"'{config}' would be a file that botocore does not read, with credhelper's profiles in it"
        )

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (b"[profile a]\nsecret-without-equals\n", "line 2: not understood"),
            (b"[profile a]\n[profile a]\n", "line 2: a second [profile a]"),
            (b"region = x\n", "line 1: no section before it"),
            (b"[a]\ns3 =\n  secret-without-equals\n", "is a file that neither boto3 nor the AWS CLI reads"),
            ("[a]\n".encode("utf-16"), "is not valid UTF-8"),
        ],
    )
    def test_broken_already(self, config: Path, text: bytes, said: str) -> None:
        """A file that botocore refuses as it is stays so, and is said to be, without a value of it."""
        sentence = said_of(ConfigError, write(config, text))
        assert sentence.startswith(f"'{config}' ")
        assert said in sentence
        assert "secret" not in sentence

    def test_full_disk(self, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the system refuses is said, and leaves nothing behind."""
        file = write(config, b"[default]\n")

        def fsync(_descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", fsync)
        assert said_of(CredhelperError, file) == f"cannot write '{config}': no space left on device"

    def test_kill(self, config: Path) -> None:
        """Killed just before the rename, the file is as it was."""
        write(config, b"[default]\n")
        config.chmod(0o600)
        code = (
            "import os, signal, sys; from credhelper import awsconfig as a\n"
            "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
            "f = a.read(sys.argv[1]); a.replace(f, b'[x]', lambda _: True)"
        )
        done = subprocess.run([sys.executable, "-c", code, str(config)], check=False)
        assert done.returncode == -9
        assert config.read_bytes() == b"[default]\n"
        modes = {stat.S_IMODE(path.stat().st_mode) for path in config.parent.iterdir() if path != config}
        assert modes == {0o600}


class TestCopy:
    """What the file held is kept."""

    def test_first_change(self, config: Path) -> None:
        """Before the block comes in for the first time the file is copied, 0600, beside it; later not."""
        write(config, b"[default]\n")
        config.chmod(0o644)
        kept = put(awsconfig.read(str(config)))
        assert kept == f"{config}.credhelper-backup"
        assert Path(kept).read_bytes() == b"[default]\n"
        assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
        file = awsconfig.read(str(config))
        assert awsconfig.replace(file, awsconfig.with_block(file, ENTRIES[:1]), reads) is None
        file = awsconfig.read(str(config))
        assert awsconfig.replace(file, awsconfig.without_block(file), reads) is None
        assert sorted(path.name for path in config.parent.iterdir()) == ["config", "config.credhelper-backup"]

    def test_older_copies(self, config: Path) -> None:
        """A copy of other content is never written over; one of the same content is as good as a new one."""
        names = []
        for text in (b"[a]\n", b"[b]\n", b"[a]\n", b"[c]\n", b"[b]\n"):
            kept = put(write(config, text))
            assert kept is not None
            assert Path(kept).read_bytes() == text
            names.append(kept.removeprefix(f"{config}.credhelper-backup"))
        assert names == ["", ".2", "", ".3", ".2"]

    def test_name_taken(self, config: Path) -> None:
        """A directory or a dangling link in the place of the copy is passed over."""
        config.with_name("config.credhelper-backup").mkdir()
        config.with_name("config.credhelper-backup.2").symlink_to("nowhere")
        assert put(write(config, b"[a]\n")) == f"{config}.credhelper-backup.3"
        assert not config.with_name("nowhere").exists()

    def test_edited_block(self, config: Path) -> None:
        """What somebody has put into the block is kept before it goes."""
        text = WRITTEN.replace("# END", "[profile mine]\naws_access_key_id = AKIAMINE\n# END").encode()
        file = write(config, text)
        kept = awsconfig.replace(file, awsconfig.without_block(file), reads)
        assert kept is not None
        assert Path(kept).read_bytes() == text

    def test_beside_the_link(self, tmp_path: Path, config: Path) -> None:
        """The copy of a linked file is where the link is, not where dotfiles are published from."""
        (tmp_path / "real").write_bytes(b"[a]\n")
        config.symlink_to(tmp_path / "real")
        assert put(awsconfig.read(str(config))) == f"{config}.credhelper-backup"

    def test_half_a_copy(self, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A copy that cannot be finished does not stay, and the file is not changed."""
        file = write(config, b"[default]\n")
        fsync, calls = os.fsync, []

        def second_fails(descriptor: int) -> None:
            calls.append(descriptor)
            if len(calls) == 2:
                raise OSError(28, "No space left on device")
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", second_fails)
        assert "no space left" in said_of(CredhelperError, file)


def go_v2(value: str) -> str:
    r"""How the SDK for Go v2 reads a value (internal/ini/strings.go): comments anywhere, \n a line end."""
    value = re.split("[#;]", value)[0].strip(" \t")
    if len(value) > 2 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return value.replace('\\"', '"').replace("\\'", "'").replace("\\n", "\n")


def go_v1(value: str) -> str:
    """How the SDK for Go v1 reads a value (internal/ini): what is quoted at its beginning is all of it."""
    return value[1:].partition('"')[0] if value.startswith('"') else re.split("[#;,]", value)[0].rstrip()


def javascript(value: str) -> str:
    """How the SDK for JavaScript reads a value (parseIni.ts)."""
    return re.split(r"(?:^|\s)[;#]", value)[0].strip()


READERS = (str, go_v1, go_v2, javascript)


def cmd_exe(line: str) -> list[str]:
    """What a program gets that `cmd.exe /d /s /c "LINE"` starts, by cmd's rules and then the C runtime's."""
    assert not set(line) & set('"%&|<>()^!\n'), "quotes do not survive everywhere, the others mean something"
    program = re.split(r"[ \t,;=/]", line)[0]  # what ends a command's name
    words = _windows_shell_split(line)
    assert words[0] == program
    return words


class TestCommandLine:
    """What stands behind credential_process."""

    @pytest.mark.parametrize(
        ("path", "line"),
        [
            ("/home/me/.local/bin/credhelper-get", "/home/me/.local/bin/credhelper-get a@b"),
            ("/Users/A B/bin/credhelper-get", '/"Users/A B/bin/credhelper-get" a@b'),
            ("/Users/büro/bin/credhelper-get", "/Users/büro/bin/credhelper-get a@b"),
            ("/Vol/Ben's (2) & co/get", '/"Vol/Ben\'s (2) & co/get" a@b'),
        ],
    )
    def test_form(self, path: str, line: str) -> None:
        """Quotes are double, only where needed, and never at the beginning, for the sake of Go v1."""
        assert awsconfig.command_line((path,), "a@b") == line

    def test_every_character(self) -> None:
        """Whatever is in a path, it comes out whole from every SDK's reader and splitter, or is refused."""
        refused = ""
        for letter in map(chr, [*range(0x250), 0x3000, 0xFEFF, 0xDC80, 0x1F600]):
            path = f"/a{letter}b/ {letter} {letter}{letter}/c"
            try:
                line = awsconfig.command_line((path,), "n+a.m=e@t")
            except ConfigError:
                refused += letter
                continue
            for read in READERS:
                assert shlex.split(read(line)) == [path, "n+a.m=e@t"], read
        assert set(refused) > set('"$`%\\\n\r\t\0#;,!*?[]{}<>|^\x7f\x85\xa0\u3000\udc80')
        assert not set(refused) & set("abzAZ09/._+@~:=- '()&é")

    @pytest.mark.parametrize("shell", ["sh", "dash", "bash", "zsh", "fish"])
    @pytest.mark.parametrize(
        "directory", ["Az0._+@~:=-é", "Ben's (2) & co  x", "a b", "(x", "x)", "a&b", "Ben's"]
    )
    def test_real_shells(self, tmp_path: Path, shell: str, directory: str) -> None:
        """Each shell that an SDK may run us by starts the program with its name as it is."""
        if not shutil.which(shell):
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{shell} is not installed")
        program = script(tmp_path / directory / "credhelper-get", 'printf "%s\\n" "$@"')
        line = awsconfig.command_line((str(program), "get"), "n+a.m=e@t")
        done = subprocess.run([shell, "-c", line], check=True, capture_output=True, text=True)
        assert done.stdout == "get\nn+a.m=e@t\n"

    @pytest.mark.parametrize("directory", ["plain", "with space", "Ben's (2) & co  x", "büro~1"])
    def test_real_botocore(self, tmp_path: Path, config: Path, directory: str) -> None:
        """botocore runs the command of a profile that was written into its file."""
        program = script(
            tmp_path / directory / "credhelper-get", f"echo '{json.dumps(ENVELOPE)}'; test $# = 1"
        )
        entry = Entry("a@b", awsconfig.command_line((str(program),), "a@b"))
        write(config, awsconfig.with_block(IniFile("config", b""), [entry]))
        assert resolved(config, "a@b") == ("custom-process", "AKIAPROCESS")

    @pytest.mark.parametrize(
        "path",
        ["bin/credhelper-get", "./x", "a b", "-x", "~/x", "", "/ends in space ", "/a\nb"],
    )
    def test_refused(self, path: str) -> None:
        """A path that is relative in part, or that a splitter would cut, is refused."""
        with pytest.raises(ConfigError) as caught:
            awsconfig.command_line((path,), "name")
        assert "no quoting carries" in caught.value.sentence

    def test_bare_name(self) -> None:
        """A bare name and its verb need no path."""
        for windows in (False, True):
            assert (
                awsconfig.command_line(("credhelper", "get"), "a@b", windows=windows) == "credhelper get a@b"
            )

    def test_windows(self) -> None:
        """On Windows a path passes cmd.exe, the C runtime's rules and each SDK's reader, or is refused."""
        refused = ""
        for letter in map(chr, range(0x180)):
            path = rf"C:\U{letter}x\{letter}\get.exe"
            try:
                line = awsconfig.command_line((path, "get"), "n+a.m=e@t", windows=True)
            except ConfigError:
                refused += letter
                continue
            for read in READERS:
                assert _windows_shell_split(read(line)) == [path, "get", "n+a.m=e@t"], read
                assert cmd_exe(read(line)) == [path, "get", "n+a.m=e@t"], read
        assert set(refused) > set(" n\"'$`%&()/,;#!^<>|=\n\t\x7fé")
        assert not set(refused) & set("abmozA9._+@~-\\")


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


class TestStableProgram:
    """Which program is written into the file."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """Places in which programs are: a virtual environment, Homebrew's Cellar, and links to both."""
        answer = 'test "$1" = --version && echo "credhelper 1.2.3"'
        for place in ("venv/bin", "Cellar/credhelper/1.2.3/bin"):
            script(tmp_path / place / "credhelper", answer)
            script(tmp_path / place / "credhelper-get", answer)
        (tmp_path / "venv" / "pyvenv.cfg").touch()
        for place, real in (("local/bin", "venv/bin"), ("brew/bin", "Cellar/credhelper/1.2.3/bin")):
            (tmp_path / place).mkdir(parents=True)
            for name in ("credhelper", "credhelper-get"):
                (tmp_path / place / name).symlink_to(tmp_path / real / name)
        return tmp_path

    def found(self, root: Path, *places: str) -> str:
        """The program that is found in these places, which are searched in turn."""
        directories = [str(root / place) for place in places]
        words = awsconfig.stable_program(
            directories, lambda path: awsconfig.answers_version(path, os.environ)
        )
        return " ".join(words).replace(f"{root}/", "")

    @pytest.mark.parametrize("stable", ["local/bin", "brew/bin"])
    @pytest.mark.parametrize("unstable", ["venv/bin", "Cellar/credhelper/1.2.3/bin"])
    def test_link(self, root: Path, stable: str, unstable: str) -> None:
        """The link is written, not what it leads to, even where that comes first on the PATH."""
        assert self.found(root, unstable, "none", stable) == f"{stable}/credhelper-get"
        assert self.found(root, stable, unstable) == f"{stable}/credhelper-get"

    def test_first_on_the_path(self, root: Path) -> None:
        """Of several stable ones it is the first, as the shell would find it."""
        assert self.found(root, "brew/bin", "local/bin") == "brew/bin/credhelper-get"

    def test_only_an_unstable_one(self, root: Path) -> None:
        """Where there is nothing else, the virtual environment's own program is better than none."""
        assert self.found(root, "venv/bin") == "venv/bin/credhelper-get"
        assert not awsconfig.is_stable(str(root / "venv/bin/credhelper-get"))

    @pytest.mark.parametrize(
        "launcher",
        [
            "echo credhelper 1; exit 1",
            "echo something else",
            "sleep 3; echo credhelper 1",
            None,
            "not executable",
        ],
    )
    def test_launcher_that_does_not_answer(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, launcher: str | None
    ) -> None:
        """A launcher that is missing, or answers nothing, is passed over for the program and its verb."""
        monkeypatch.setattr(awsconfig, "ANSWER_SECONDS", 0.3)
        path = root / "local/bin/credhelper-get"
        path.unlink()
        if launcher:
            script(path, launcher)
        if launcher == "not executable":
            path.chmod(0o644)
        assert self.found(root, "local/bin", "venv/bin") == "local/bin/credhelper get"

    def test_none(self, root: Path) -> None:
        """With nothing that fits it is the bare name; relative places on the PATH are not looked at."""
        script(root / "a$b" / "credhelper-get", "echo credhelper 1")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(root / "local/bin")
            words = awsconfig.stable_program(["", ".", str(root / "a$b")], lambda _path: True)
        assert words == ("credhelper", "get")

    def test_windows(self, tmp_path: Path) -> None:
        """On Windows, where no path with a space works in every SDK, it is the bare name."""
        script(tmp_path / "a b" / "credhelper.exe", "")
        words = awsconfig.stable_program([str(tmp_path / "a b")], lambda _path: True, windows=True)
        assert words == ("credhelper", "get")

    def test_real_program(self) -> None:
        """The installed program answers."""
        assert awsconfig.answers_version(PROGRAM, {"PATH": "/usr/bin:/bin"})

    @pytest.mark.parametrize(
        ("path", "stable"),
        [
            ("/home/me/.local/bin/credhelper-get", True),
            ("/opt/homebrew/bin/credhelper-get", True),
            ("/opt/homebrew/Cellar/credhelper/1.0/bin/credhelper-get", False),
            ("/nix/store/abc-credhelper/bin/credhelper-get", False),
            ("/home/me/.nix-profile/bin/credhelper-get", True),
        ],
    )
    def test_stable(self, path: str, *, stable: bool) -> None:
        """Paths with a version in them go away with it."""
        assert awsconfig.is_stable(path) is stable


CREDENTIALS = IniFile("~/.aws/credentials", b"", exists=False)
PROCESS = "[profile p]\ncredential_process = {}\n"


def found_beside(config: str, credentials: str = "", **environ: str) -> list[str]:
    """The sentences about profile p of two files."""
    files = (IniFile("~/.aws/config", config.encode()), IniFile("~/.aws/credentials", credentials.encode()))
    found = awsconfig.neighbours(*files, {"p"}, environ)
    assert all(each.hint for each in found)
    assert all(f"'{each.path}' line {each.line}:" in each.sentence for each in found if each.path)
    return [each.sentence for each in found]


class TestNeighbours:
    """What would win over us; what is said of botocore is tried with botocore."""

    @pytest.fixture
    def process(self, tmp_path: Path) -> str:
        """A profile p that runs a program."""
        return PROCESS.format(script(tmp_path / "process", f"echo '{json.dumps(ENVELOPE)}'"))

    @pytest.fixture
    def wins(self, config: Path) -> Callable[..., object]:
        """What botocore takes, of two files and an environment; an error where it takes nothing."""

        def wins(text: str, credentials: str = "", *, named: bool = True) -> object:
            config.write_text(text)
            config.with_name("credentials").write_text(credentials)
            try:
                return resolved(config, "p", named=named)
            except BotoCoreError as error:
                return type(error).__name__

        return wins

    def test_none(self, process: str, wins: Callable[..., object]) -> None:
        """A profile with nothing but our command, a region and the like has no rival in it or elsewhere."""
        text = f"{process}region = eu-west-1\noutput = json\n# role_arn = x\n[profile q]\nrole_arn = x\n[r]\n"
        assert wins(text, "[q]\naws_access_key_id = x\n") == ("custom-process", "AKIAPROCESS")
        assert found_beside(text, "[q]\naws_access_key_id = x\n") == []

    def test_static_keys(self, process: str, wins: Callable[..., object]) -> None:
        """Static keys win in every SDK from the credentials file, and in most from the config file."""
        key, keys = (
            "'aws_access_key_id' of profile 'p'",
            "aws_access_key_id = AKIASTATIC\naws_secret_access_key = x\n",
        )
        assert wins(process, f"[p]\n{keys}") == ("shared-credentials-file", "AKIASTATIC")
        assert found_beside(process, f"[p]\n{keys}") == [
            f"'~/.aws/credentials' line 2: {key} wins over credhelper in every SDK"
        ]
        assert wins(process + keys) == ("custom-process", "AKIAPROCESS")
        assert found_beside(process + keys) == [
            f"'~/.aws/config' line 3: {key} wins over credhelper in most SDKs, not in boto3 and the AWS CLI"
        ]

    def test_another_process(self, tmp_path: Path, process: str, wins: Callable[..., object]) -> None:
        """A command in the credentials file wins over the one in the config file."""
        other = script(tmp_path / "other", f"echo '{json.dumps({**ENVELOPE, 'AccessKeyId': 'AKIAOTHER'})}'")
        credentials = f"[p]\nCredential_Process : {other}\n"
        assert wins(process, credentials) == ("custom-process", "AKIAOTHER")
        (said,) = found_beside(process, credentials)
        assert said.startswith("'~/.aws/credentials' line 2: 'credential_process' of profile 'p' wins")

    @pytest.mark.parametrize(
        ("keys", "outcome", "said"),
        [
            (
                "role_arn = arn:aws:iam::1:role/x",
                "PartialCredentialsError",
                "'role_arn' of profile 'p' is used",
            ),
            (
                "role_arn = arn:aws:iam::1:role/x\nsource_profile = p",
                "InfiniteLoopConfigError",
                "'role_arn' of profile 'p' is used instead of credhelper by some SDKs, and makes others fail",
            ),
            (
                "web_identity_token_file = /x\nrole_arn = arn:aws:iam::1:role/x",
                ("assume-role-with-web-identity", None),
                "'web_identity_token_file' of profile 'p' wins over credhelper in every SDK",
            ),
            (
                "sso_account_id = 111122223333\nsso_role_name = x\nsso_region = eu-west-1\nsso_start_url = https://x",
                ("sso", None),
                "'sso_account_id' of profile 'p' wins over credhelper in boto3, the AWS CLI and others",
            ),
            (
                "login_session = arn:aws:iam::111122223333:user/x\nregion = eu-west-1",
                None,  # an error that depends on what is installed
                "'login_session' of profile 'p' wins over credhelper in boto3 and the AWS CLI",
            ),
        ],
    )
    @pytest.mark.parametrize("place", ["config", "credentials"])
    def test_other_sources(
        self, process: str, wins: Callable[..., object], place: str, keys: str, outcome: object, said: str
    ) -> None:
        """A role, SSO, a login or a web identity beside our command is used instead of it, or breaks it."""
        files = (process + keys, "") if place == "config" else (process, f"[p]\n{keys}\n")
        assert wins(*files) != ("custom-process", "AKIAPROCESS")
        assert outcome in (None, wins(*files))
        found = found_beside(*files)
        assert any(f"line {3 if place == 'config' else 2}: {said}" in each for each in found), found

    def test_environment(
        self, process: str, wins: Callable[..., object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Keys in the environment win where AWS_PROFILE names the profile, and not where --profile does."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "AKIAENV")
        assert wins(process, named=False) == ("env", "AKIAENV")
        assert wins(process) == ("custom-process", "AKIAPROCESS")
        (said,) = found_beside(process, AWS_ACCESS_KEY_ID="AKIAENV", AWS_WEB_IDENTITY_TOKEN_FILE="")
        where = "in most SDKs where AWS_PROFILE names the profile"
        assert said == f"AWS_ACCESS_KEY_ID is set, and wins over credhelper {where}"

    def test_web_identity_in_the_environment(
        self, process: str, wins: Callable[..., object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So does a web identity."""
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/x")
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/x")
        assert wins(process, named=False) == ("assume-role-with-web-identity", None)
        (said,) = found_beside(process, AWS_WEB_IDENTITY_TOKEN_FILE="/x")
        assert said.startswith("AWS_WEB_IDENTITY_TOKEN_FILE is set")

    def test_section_without_profile(self, process: str) -> None:
        """A section without 'profile' before its name is what older SDKs take."""
        assert found_beside(process + "[p]\nregion = x\n") == [
            "'~/.aws/config' line 3: [p] without 'profile' wins over credhelper in older SDKs, such as Go v1"
        ]

    def test_equals_sign(self) -> None:
        """A name with a '=' is one that some SDKs do not find."""
        (found,) = awsconfig.neighbours(IniFile("", b""), CREDENTIALS, {"a=b"}, {})
        assert (
            found.sentence
            == "the SDKs for JavaScript, Rust and C++ do not find profile 'a=b': its name has a '='"
        )

    def test_no_value(self) -> None:
        """No sentence quotes a value: some are secret."""
        keys = "aws_access_key_id = SECRET\naws_secret_access_key = SECRET\nrole_arn = SECRET\n"
        found = found_beside(PROCESS.format("SECRET") + keys, f"[p]\n{keys}", AWS_ACCESS_KEY_ID="SECRET")
        assert len(found) == 5
        assert "SECRET" not in "".join(found)


def test_repr_shows_no_secret() -> None:
    """Printing a file prints nothing of it."""
    assert "SECRET" not in repr(IniFile("config", b"SECRET"))


def test_a_file_of_many_accounts() -> None:
    """A thousand profiles are written and read in no noticeable time."""
    entries = tuple(
        Entry(f"audit-root@{number:012}", f"/x/credhelper-get a@{number}") for number in range(1000)
    )
    file = IniFile("config", awsconfig.with_block(IniFile("config", b""), entries))
    assert awsconfig.block_entries(file) == entries
