"""The block in ~/.aws/config: nothing outside it changes, and nothing in it that an SDK stumbles over."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from botocore.configloader import load_config
from hypothesis import given, settings
from hypothesis import strategies as st

from credhelper.awsconfig import block
from credhelper.awsconfig import file as config_file
from credhelper.awsconfig.block import Entry
from credhelper.awsconfig.ini import IniFile
from credhelper.errors import ConfigError

from blocks import ENTRIES, FILES, PROFILES, WRITTEN, reads, write


def refusal(file: IniFile, entries: tuple[Entry, ...] = ENTRIES) -> str:
    """What with_block says when it refuses."""
    with pytest.raises(ConfigError) as caught:
        block.with_block(file, entries)
    return caught.value.sentence


@pytest.mark.parametrize("name", FILES)
def test_block_in_a_real_file_changes_nothing_else_and_leaves_no_trace(config, name):
    before = write(config, FILES[name])
    others = load_config(before.path)
    config_file.replace(before, block.with_block(before, ENTRIES), reads)
    after = config_file.read(before.path)
    assert after.text.startswith(FILES[name])
    assert load_config(after.path) == {**others, "profiles": {**others["profiles"], **PROFILES}}
    assert block.with_block(after, ENTRIES) == after.text
    assert block.block_entries(after) == ENTRIES
    config_file.replace(after, block.without_block(after), reads)
    assert config.read_bytes() == FILES[name]


def with_entries(text: bytes, entries: Any = ENTRIES) -> bytes:
    """The text with the block of these entries."""
    return block.with_block(IniFile("config", text), entries)


def test_block_has_a_comment_an_empty_line_before_it_and_the_line_ends_of_the_file():
    text = b"[default]\nregion = eu-west-1\n"
    assert with_entries(text) == text + b"\n" + WRITTEN.encode()
    assert with_entries(b"") == WRITTEN.encode()
    ours = with_entries(b"[default]\r\n").removeprefix(b"[default]\r\n")
    assert ours.count(b"\r\n") == ours.count(b"\n") == WRITTEN.count("\n") + 1


def test_default_profile_has_the_header_that_every_sdk_knows(config):
    write(config, with_entries(b"", [Entry("default", "x")]))
    assert b"[default]\n" in config.read_bytes()
    assert load_config(str(config))["profiles"] == {"default": {"credential_process": "x"}}


def test_changed_entries_replace_the_old_ones_in_place():
    above, below = b"[profile a]\nregion = eu-west-1\n", b"\n# more\n[profile b]\nregion = eu-west-1"
    changed = with_entries(with_entries(above) + below, ENTRIES[:1])
    assert changed == with_entries(above, ENTRIES[:1]) + below
    assert block.without_block(IniFile("config", changed)) == above + below
    assert with_entries(changed, []) == above + below
    # a file that did not end in a line end before the block
    assert (
        block.without_block(IniFile("config", with_entries(b"[profile a]") + b"[b]")) == b"[profile a]\n[b]"
    )


def test_file_without_a_block_has_no_entries_and_stays_as_it_is():
    for text in FILES.values():
        file = IniFile("config", text)
        assert block.without_block(file) == text
        assert block.block_entries(file) == ()
        assert not block.is_edited(file)


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
def test_same_name_outside_the_block_is_refused_with_its_line(header, below):
    text = b"[profile a]\n\n" + header + b"\nregion = eu-west-1\n"
    if below:
        text = with_entries(b"", ENTRIES[1:]) + text.lstrip()
    message = refusal(IniFile("~/.aws/config", text))
    wrong = "profile 'developer' exists already, and credhelper has not written it"
    assert message == f"'~/.aws/config' line {9 if below else 3}: {wrong}"


def test_botocore_refuses_a_file_with_a_duplicate_profile(config):
    write(config, WRITTEN.encode() + b"[profile developer]\n")
    assert not reads(str(config))


@pytest.mark.parametrize("header", [b"[default]", b"[profile default]"])
def test_both_spellings_of_the_default_profile_are_one_name(header):
    message = refusal(IniFile("config", header), (Entry("default", "x"),))
    assert message.startswith("'config' line 1: profile 'default' exists already")


def test_sso_session_or_service_of_the_same_name_is_no_conflict():
    text = b"[sso-session developer]\nsso_region = eu-west-1\n[services developer]\n[developer]\n"
    assert with_entries(text).startswith(text)


@pytest.mark.parametrize(
    ("text", "message"),
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
        (WRITTEN.encode() + b"\n [profile x]\n", "line 12: is indented, so that it continues the profile"),
    ],
)
def test_unpaired_marks_are_refused_with_their_line(text, message):
    file = IniFile("~/.aws/config", text)
    assert refusal(file).startswith(f"'~/.aws/config' {message}")
    for function in (block.without_block, block.block_entries, block.is_edited):
        with pytest.raises(ConfigError, match="line"):
            function(file)


def test_marks_with_spaces_around_are_found():
    text = WRITTEN.replace("# BEGIN credhelper", "  # BEGIN credhelper  ").encode()
    assert with_entries(text) == WRITTEN.encode()


def test_edited_block_is_detected_and_replaced_or_removed_as_a_whole():
    above = b"[profile a]\noutput = json\n"
    text = with_entries(above)
    for same in (text, text.rstrip(), text.replace(b".local/", b"")):
        assert not block.is_edited(IniFile("config", same))
    for edited in (
        text.replace(b"region = eu-west-1\n\n", b"region = eu-west-1\noutput = json\n\n"),
        text.replace(b"# END", b"[profile mine]\naws_access_key_id = AKIAMINE\n# END"),
        text.replace(b"[profile audit", b"# root\n[profile audit"),
    ):
        file = IniFile("config", edited)
        assert block.is_edited(file)
        assert block.with_block(file, ENTRIES) == text
        assert block.without_block(file) == above


def test_entries_that_could_not_be_written_are_left_out():
    text = WRITTEN.replace(
        "region = eu-west-1", "region = eu west\n[profile half one]\n[x]\ncredential_process = y"
    )
    assert block.block_entries(IniFile("config", text.encode())) == ENTRIES[1:]


HOSTILE_NAMES = ["", "a b", "a]\n[profile b", "a@b@c", "@a", "a\n", "\x1b[2J"]
HOSTILE_COMMANDS = ["", " ", "x\nrole_arn = y", "x\r[profile b]", "x\x1b", "x\udcff"]
HOSTILE_REGIONS = ["eu-west-1\nrole_arn = y", ""]
HOSTILE = [
    *(Entry(name, "x") for name in HOSTILE_NAMES),
    *(Entry("a", command) for command in HOSTILE_COMMANDS),
    *(Entry("a", "x", region) for region in HOSTILE_REGIONS),
]


@pytest.mark.parametrize("entry", HOSTILE)
def test_hostile_name_command_or_region_is_refused(entry):
    refusal(IniFile("config", b""), (entry,))


def test_duplicate_entry_is_refused():
    assert refusal(IniFile("config", b""), ENTRIES * 2) == "profile 'developer' would be written twice"


def test_byte_order_mark_is_refused_but_a_block_after_it_is_found(config):
    file = write(config, b"\xef\xbb\xbf[default]\n")
    assert not reads(file.path)
    assert "begins with a byte order mark" in refusal(file)
    marked = IniFile("config", b"\xef\xbb\xbf" + WRITTEN.encode())
    assert block.block_entries(marked) == ENTRIES
    assert block.without_block(marked) == b"\xef\xbb\xbf"


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
TAKEN = ("default", "a", "b", "e", "long")
LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
ENTRY = st.builds(
    Entry,
    st.from_regex(block.NAME, fullmatch=True).filter(lambda name: name not in TAKEN),
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
    """The profiles that botocore has to find in a file with these entries and its own."""
    ours = {
        entry.name: {
            "credential_process": entry.command,
            **({"region": entry.region} if entry.region else {}),
        }
        for entry in entries
    }
    return {**others, "profiles": {**others["profiles"], **ours}}


@settings(max_examples=30)
@given(texts(), ENTRY_LISTS, ENTRY_LISTS)
def test_any_file(tmp_path_factory, parts, first, second):
    path, (text,) = str(tmp_path_factory.getbasetemp() / "any"), parts
    others, file = _config(path, text), IniFile(path, text)
    for entries in (first, second, second):
        file = IniFile(path, block.with_block(file, entries))
        assert block.without_block(file) == text
        assert block.block_entries(file) == tuple(entries)
        assert _config(path, file.text) == _with(others, entries)


@settings(max_examples=30)
@given(texts(parts=2), ENTRY_LISTS.filter(bool), ENTRY_LISTS.filter(bool))
def test_any_place(tmp_path_factory, parts, first, second):
    path, (above, below) = str(tmp_path_factory.getbasetemp() / "any"), parts
    others = _config(path, above + below)
    file = IniFile(path, above + with_entries(b"", first) + below)
    changed = IniFile(path, block.with_block(file, second))
    assert changed.text.startswith(above)
    assert changed.text.endswith(below)
    assert block.block_entries(changed) == tuple(second)
    assert _config(path, changed.text) == _with(others, second)
    assert _config(path, block.without_block(changed)) == others


def test_repr_shows_no_secret():
    assert "SECRET" not in repr(IniFile("config", b"SECRET"))


def test_thousand_entries_are_found():
    entries = tuple(Entry(f"audit-root@{n:012}", f"/x/credhelper-get a@{n}") for n in range(1000))
    assert block.block_entries(IniFile("config", with_entries(b"", entries))) == entries
