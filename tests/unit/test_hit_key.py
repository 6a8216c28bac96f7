"""The hit key: what an answer may depend on is in it, and what cannot be told is never a hit."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import platformdirs
import platformdirs.macos
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from credhelper import app, paths, wire
from credhelper.agent.memory import Memory
from credhelper.awsconfig.profiles import AwsFiles
from credhelper.clocks import ExpiryThresholds, Now
from credhelper.config.profiles import Config
from credhelper.sessions.calls import CallPlanner
from credhelper.sessions.parameters import NameContext

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY = 65534
DESIGN = """
    CREDHELPER_CONFIG CREDHELPER_KEYRING CREDHELPER_REASON HOME XDG_CONFIG_HOME AWS_CONFIG_FILE
    AWS_SHARED_CREDENTIALS_FILE AWS_REGION AWS_DEFAULT_REGION AWS_ACCESS_KEY_ID AWS_ROLE_ARN
    AWS_ROLE_SESSION_NAME AWS_WEB_IDENTITY_TOKEN_FILE AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
    AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_ENDPOINT_URL AWS_ENDPOINT_URL_STS
    AWS_IGNORE_CONFIGURED_ENDPOINT_URLS AWS_CA_BUNDLE AWS_USE_FIPS_ENDPOINT AWS_USE_DUALSTACK_ENDPOINT
    AWS_EC2_METADATA_SERVICE_ENDPOINT
"""
FILES = ["config.toml", "aws-config", "aws-credentials"]


@dataclass
class Place:
    """Three configuration files, and the clock that the hit key compares their times with."""

    path: Path
    clock: float = field(default_factory=lambda: time.time() + 3600)

    @property
    def environ(self) -> dict[str, str]:
        names = ("CREDHELPER_CONFIG", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
        return {name: str(self.path / file) for name, file in zip(names, FILES, strict=True)}

    def now(self) -> float:
        return self.clock

    def key(self, *arguments: str, **environ: str | None) -> bytes | None:
        """The hit key in these files' environment; None takes a variable away."""
        changed = {**self.environ, **environ}
        return wire.hit_key(arguments, {name: value for name, value in changed.items() if value is not None})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The files, and a clock that is an hour ahead of their times."""
    found = Place(tmp_path)
    for name in FILES:
        (tmp_path / name).write_text("text")
    monkeypatch.setattr(wire, "time", SimpleNamespace(time=found.now))
    return found


class TestArguments:
    def test_the_same_arguments(self, place: Place) -> None:
        """The same call in the same world has the same key, every time."""
        assert place.key("dev", "--yes") == place.key("dev", "--yes") is not None

    def test_each_boundary_counts(self, place: Place) -> None:
        """What the words are is never mistaken: joined, cut, empty, in another order."""
        calls = [
            *([], [""], ["", ""], ["a"], ["a", ""], ["", "a"], ["a", "b"], ["b", "a"], ["a b"], ["ab"]),
            *(["a", "b", ""], ["a\nb"], ["a\\nb"], ["a\\", "nb"], ["a\\\nb"], ["-"], ["=a"], ["A"]),
        ]

        assert len({place.key(*call) for call in calls}) == len(calls)

    def test_bytes_that_are_no_text(self, place: Place) -> None:
        """An argument need not be UTF-8: each one has its own key."""
        odd = [os.fsdecode(raw) for raw in (b"\xff", b"\xfe", b"\xc3\xbf", b"\xff\xff")]
        keys = {place.key(each) for each in odd}

        assert len(keys - {None}) == 4

    @given(
        some.lists(some.binary(max_size=6).map(lambda raw: os.fsdecode(raw.replace(b"\0", b""))), max_size=4),
        some.lists(some.binary(max_size=6).map(lambda raw: os.fsdecode(raw.replace(b"\0", b""))), max_size=4),
    )
    @example(["\\", "n"], ["\\", "\n"])
    @example(["\\n"], ["\n"])
    @settings(max_examples=300)
    def test_one_line_for_each_call(self, one: list[str], other: list[str]) -> None:
        """Whatever the bytes: one line that the agent reads back whole, the same only for the same call."""
        keys = [wire.hit_key(call, {"CREDHELPER_CONFIG": "/nowhere"}) for call in (one, other)]

        for key in keys:
            assert key is not None
            assert b"\n" not in key
            assert (b"get %s" % key).partition(b" ")[2] == key
        assert (keys[0] == keys[1]) == (one == other)

    @pytest.mark.parametrize("flag", ["--refresh", "--no-cache", "--help", "-h"])
    def test_never_a_hit(self, place: Place, flag: str) -> None:
        """What asks for more than the cached answer has no key, wherever it stands."""
        for call in ([flag], [flag, "dev"], ["dev", flag], ["dev", "--yes", flag, "--show"]):
            assert place.key(*call) is None

    def test_as_long_as_a_request_may_be(self, place: Place) -> None:
        """The longest key fits a line of 8 KiB under the longest verb; a byte more is no key."""
        spare = wire.LONGEST_LINE - 17 - len(place.key("") or b"")
        longest = place.key("x" * spare)

        assert longest is not None
        assert len(b"renew %s\n" % longest) <= wire.LONGEST_LINE == 8192
        assert place.key("x" * (spare + 1)) is None

    def test_the_arguments_stay_as_they_are(self, place: Place) -> None:
        """The list that the program goes on to parse is not touched."""
        arguments = ["dev"]
        wire.hit_key(arguments, place.environ)

        assert arguments == ["dev"]


class TestContext:
    def test_it_is_the_designs(self) -> None:
        """The variables that an answer may depend on are these and no others."""
        assert list(wire.CONTEXT) == DESIGN.split()

    @pytest.mark.parametrize("name", DESIGN.split())
    def test_each_variable_counts(self, place: Place, name: str) -> None:
        """Unset, empty and each value are different worlds."""
        values = (None, "", "a", "b", "=", "-")

        assert len({place.key("dev", **{name: value}) for value in values} - {None}) == len(values)

    def test_values_do_not_move(self, place: Place) -> None:
        """The same text in another variable, or as an argument, is another world."""
        keys = {place.key("dev", **{name: "x"}) for name in wire.CONTEXT[3:] if "FILE" not in name}
        keys |= {place.key("dev", "=x"), place.key("dev", "x"), place.key("dev=x"), place.key("dev")}

        assert len(keys - {None}) == len([name for name in wire.CONTEXT[3:] if "FILE" not in name]) + 4

    @pytest.mark.parametrize("name", ["AWS_PROFILE", "PATH", "TERM", "PYTHONPATH", "AWS_SECRET_ACCESS_KEY"])
    def test_nothing_else_counts(self, place: Place, name: str) -> None:
        """What no answer depends on leaves the key as it is; no secret gets into it."""
        assert place.key("dev", **{name: "x"}) == place.key("dev")


class TestFiles:
    @pytest.mark.parametrize("name", FILES)
    def test_each_change_counts(self, place: Place, name: str) -> None:
        """Gone, grown, touched, closed to others, replaced by its like: each time another key."""
        path = place.path / name
        status = path.stat()
        keys = [place.key("dev")]

        path.write_text("more text")
        keys.append(place.key("dev"))
        path.write_text("text")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        keys.append(place.key("dev"))
        path.chmod(0o640)
        keys.append(place.key("dev"))
        (place.path / "new").write_text("text")
        os.utime(place.path / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
        (place.path / "new").replace(path)
        keys.append(place.key("dev"))
        path.unlink()
        keys.append(place.key("dev"))

        assert len({*keys} - {None}) == 6

    @pytest.mark.parametrize("file", range(3))
    @pytest.mark.parametrize("fact", ["st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns"])
    def test_each_fact_counts(
        self, place: Place, monkeypatch: pytest.MonkeyPatch, file: int, fact: str
    ) -> None:
        """Device, inode, size and both times to the nanosecond are in the key, for each of the files."""
        path, stat = str(place.path / FILES[file]), os.stat
        facts = ("st_dev", "st_ino", "st_size", "st_mtime", "st_ctime", "st_mtime_ns", "st_ctime_ns")
        change = 0

        def reported(name: Any, **options: Any) -> Any:
            status = stat(name, **options)
            if name != path:
                return status
            real = {each: getattr(status, each) for each in facts}
            return SimpleNamespace(**{**real, fact: real[fact] + change})

        monkeypatch.setattr(os, "stat", reported)
        before = place.key("dev")
        change = 1

        assert place.key("dev") != before is not None

    def test_files_are_not_mistaken_for_each_other(self, place: Place) -> None:
        """The same files in each other's places are another world."""
        first, second = (str(place.path / name) for name in FILES[1:])
        one = place.key("dev", AWS_CONFIG_FILE=first, AWS_SHARED_CREDENTIALS_FILE=second)

        assert one != place.key("dev", AWS_CONFIG_FILE=second, AWS_SHARED_CREDENTIALS_FILE=first)

    @pytest.mark.parametrize("name", FILES)
    def test_a_link_is_what_it_leads_to(self, place: Place, name: str) -> None:
        """A link that is turned to another file is another world, whatever it is called."""
        path = place.path / name
        path.rename(place.path / "one")
        (place.path / "two").write_text("text")
        path.symlink_to("one")
        before = place.key("dev")
        path.unlink()
        path.symlink_to("two")

        assert place.key("dev") != before is not None

    @pytest.mark.parametrize("name", FILES)
    def test_changed_just_now(self, place: Place, name: str) -> None:
        """For 2 s after a change, and when it lies in the future, there is no key."""
        path = place.path / name
        for other in FILES:
            os.utime(place.path / other, (0, 0))
        changed = path.stat().st_ctime
        found = {}
        for age in (-3600.0, -1.0, 0.0, 1.0, 1.9):
            place.clock = changed + age
            found[age] = place.key("dev")

        assert set(found.values()) == {None}

        place.clock = changed + 2.1

        assert place.key("dev") is not None
        assert wire.RACY == 2

    def test_only_its_contents_changed_just_now(self, place: Place) -> None:
        """The modification time counts as the change of the inode does: a clock may be set back between."""
        future = place.clock + 1
        os.utime(place.path / FILES[0], (future, future))

        assert place.key("dev") is None

    def test_an_edit_of_the_same_size_at_once(self, place: Place) -> None:
        """Two edits in place within a tick of the clock may look the same: neither has a key yet."""
        path = place.path / FILES[0]
        for text in ("one!", "two!"):
            with path.open("r+") as file:
                file.write(text)
            place.clock = path.stat().st_ctime + 1.9
            assert place.key("dev") is None

        place.clock += 0.2
        assert place.key("dev") is not None

    def test_what_cannot_be_looked_at(self, place: Place) -> None:
        """A link that leads to itself, or a name that is too long, is never a hit."""
        (place.path / "loop").symlink_to("loop")
        for name in ("CREDHELPER_CONFIG", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            assert place.key("dev", **{name: str(place.path / "loop")}) is None
            assert place.key("dev", **{name: str(place.path / ("x" * 300))}) is None

    def test_a_directory_that_is_closed(self, place: Place) -> None:
        """A file in a directory that we may not enter is never a hit."""
        closed = place.path / "closed"
        closed.mkdir(0)
        environ = {**place.environ, "AWS_CONFIG_FILE": str(closed / "config")}
        with as_nobody():
            assert wire.hit_key(["dev"], environ) is None

    @pytest.mark.parametrize("path", ["nowhere", "nowhere/below", "config.toml/below"])
    def test_no_file(self, place: Place, path: str) -> None:
        """A file that is not there is a fact as any other; when it appears it is another world."""
        before = place.key("dev", AWS_CONFIG_FILE=str(place.path / path))
        (place.path / "nowhere").write_text("text")

        assert before is not None
        if path == "nowhere":
            assert place.key("dev", AWS_CONFIG_FILE=str(place.path / path)) != before


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to enter every directory."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


HOMES = [
    {},
    {"XDG_CONFIG_HOME": "/etc/xdg"},
    {"XDG_CONFIG_HOME": "/etc/xdg/"},
    {"XDG_CONFIG_HOME": "/etc/../xdg"},
    {"XDG_CONFIG_HOME": "/with blanks/ä"},
    {"XDG_CONFIG_HOME": "/"},
    {"XDG_CONFIG_HOME": "relative"},
    {"XDG_CONFIG_HOME": "./relative"},
    {"XDG_CONFIG_HOME": "~/.other"},
    {"XDG_CONFIG_HOME": "$HOME/.other"},
    {"XDG_CONFIG_HOME": ""},
    {"XDG_CONFIG_HOME": "  "},
    {"XDG_CONFIG_HOME": " /etc/xdg"},
    {"XDG_CONFIG_HOME": "/etc/xdg "},
    {"XDG_CONFIG_HOME": "\t/etc/xdg\n"},
    {"HOME": "/home/me/"},
    {"HOME": "/"},
    {"HOME": None},
    {"HOME": None, "XDG_CONFIG_HOME": "relative"},
    {"CREDHELPER_CONFIG": ""},
    {"CREDHELPER_CONFIG": "", "XDG_CONFIG_HOME": "/etc/xdg"},
    {"CREDHELPER_CONFIG": "here.toml"},
    {"CREDHELPER_CONFIG": "~/there.toml"},
    {"CREDHELPER_CONFIG": "/etc/../there.toml"},
    {"CREDHELPER_CONFIG": "$HOME/there.toml"},
    {"CREDHELPER_CONFIG": " /there.toml"},
]
ODD_HOMES = [
    {"HOME": ""},
    {"HOME": "relative"},
]


@pytest.fixture(params=["linux", "darwin"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The system whose places are meant, as platformdirs has them."""
    name: str = request.param
    if name == "darwin":
        monkeypatch.setattr(platformdirs, "PlatformDirs", platformdirs.macos.MacOS)
    elif sys.platform != "linux":
        pytest.skip("platformdirs has its own places here")
    monkeypatch.setattr(sys, "platform", name)
    return name


def in_home(changes: dict[str, str | None], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """This process's environment as the row has it."""
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in changes.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    return dict(os.environ)


class TestPlaces:
    @pytest.mark.parametrize("changes", HOMES, ids=json.dumps)
    def test_ours_is_where_platformdirs_has_it(
        self, system: str, changes: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file that the key looks at is the one that is read."""
        environ = in_home(changes, monkeypatch)
        home = environ.get("XDG_CONFIG_HOME", "")
        if sys.version_info < (3, 11) and home.strip() != home:
            pytest.skip("the last platformdirs for Python 3.10 strips spaces; see the next test")
        files = wire.configuration_files(environ)

        assert files is not None
        assert os.path.abspath(files[0]) == paths.find(environ).config

    @pytest.mark.parametrize("changes", [*HOMES, *ODD_HOMES], ids=json.dumps)
    def test_a_key_of_another_file_is_not_used(
        self, system: str, changes: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where platformdirs has it elsewhere all the same, nothing is put under the key."""
        environ = in_home(changes, monkeypatch)
        files, places = wire.configuration_files(environ), paths.find(environ)
        pending = app._checked(wire.PendingRequest(key=b"key"), environ, places)

        assert files is not None
        assert pending is not None
        assert pending.key in (None, b"key")
        assert (pending.key is not None) == (os.path.abspath(files[0]) == places.config)

    def test_the_mac_has_it_in_its_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a Mac the usual place is ~/Library/Application Support."""
        monkeypatch.setattr(sys, "platform", "darwin")
        files = wire.configuration_files(in_home({}, monkeypatch))

        assert files is not None
        assert files[0] == "/home/me/Library/Application Support/credhelper/config.toml"

    @pytest.mark.parametrize(
        ("environ", "expected"),
        [
            ({}, ["/home/me/.aws/config", "/home/me/.aws/credentials"]),
            ({"AWS_CONFIG_FILE": ""}, ["/home/me/.aws/config", "/home/me/.aws/credentials"]),
            ({"AWS_CONFIG_FILE": "/a", "AWS_SHARED_CREDENTIALS_FILE": "~/b"}, ["/a", "/home/me/b"]),
        ],
    )
    def test_the_files_of_the_sdk(
        self, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: list[str]
    ) -> None:
        """The AWS SDK's files are where its variables say, else in ~/.aws."""
        files = wire.configuration_files(in_home({**environ}, monkeypatch))

        assert files is not None
        assert [*files[1:]] == expected

    @pytest.mark.parametrize("name", ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"])
    def test_a_variable_in_the_path(self, place: Place, name: str) -> None:
        """The SDK fills variables into these two paths; that is left to those who read the files."""
        assert wire.configuration_files({name: "$HOME/config"}) is None
        assert place.key("dev", **{name: "/tmp/$X"}) is None


# -- no answer of another world's


WORDS = [
    *("dev", "root", "root@111122223333", "--yes", "--reason", "--role-arn", "a", "b", "a b", "ab", ""),
    *("=", "=dev", "-", "\\", "\\n", "\n", "=\n", "\udcff", "ä"),
]


@dataclass
class World:
    """Two files that are chosen by the environment, and how often each was edited."""

    place: Place
    names: tuple[str, str]
    edits: dict[str, int] = field(default_factory=dict)

    def key(self, arguments: list[str]) -> bytes:
        ours, aws = (str(self.place.path / name) for name in self.names)
        key = self.place.key(*arguments, CREDHELPER_CONFIG=ours, AWS_CONFIG_FILE=aws)
        assert key is not None
        return key

    def answer(self, arguments: list[str]) -> bytes:
        """What a mint in this world would give."""
        return repr((self.names, [self.edits[name] for name in self.names], arguments)).encode()


class Caller:
    """Somebody who asks the agent."""

    word, number, body = "", 0, b""

    def reply(self, word: str, number: int = 0, body: bytes | bytearray = b"") -> None:
        self.word, self.number, self.body = word, number, bytes(body)


def test_nobody_gets_an_answer_of_another_world(place: Place) -> None:
    """100,000 callers in four worlds that are edited meanwhile: each answer is that of its own call."""
    chance = random.Random(4711)
    ours, aws = ("one.toml", "two.toml"), ("one-aws", "two-aws")
    edits = dict.fromkeys((*ours, *aws), 0)
    worlds = [World(place, (first, second), edits) for first in ours for second in aws]
    for name in edits:
        (place.path / name).write_text("0000")
        os.utime(place.path / name, (1_000_000, 1_000_000))
    agent, hits = Memory(lambda: Now(0.0, 0.0, 0.0)), 0
    for number in range(100_000):
        if number % 5000 == 4999:
            name = chance.choice([*edits])
            edits[name] += 1
            (place.path / name).write_text(f"{edits[name]:04}")
            os.utime(place.path / name, (1_000_000, 1_000_000))
        world, arguments = chance.choice(worlds), chance.choices(WORDS, k=chance.randrange(4))
        caller = Caller()
        agent.ask(caller, "get", world.key(arguments))
        if caller.word == "mint":
            lease = agent.lease(caller, caller.number)
            assert lease is not None
            agent.put(
                lease, bytearray(world.answer(arguments)), ExpiryThresholds(900, 900, 690, 630, 60), "", ""
            )
        else:
            hits += 1
            assert (caller.word, caller.body) == ("hit", world.answer(arguments))

    assert hits > 10_000
    assert len(agent) > 10_000


AWS_PROFILES = {
    f"source-{number}": {"aws_access_key_id": f"AKIA{number}", "aws_secret_access_key": "secret"}
    for number in range(3)
}
SETTINGS: dict[str, dict[str, list[Any]]] = {
    "role": {
        "role_arn": [
            f"arn:aws:iam::{account}:role/{name}" for account in (1, 2) for name in ("A", "B", "A/B")
        ],
        "role_session_name": [None, None, "me", "you"],
        "policy": [None, None, "{}", '{"Statement":[]}'],
        "policy_arns": [None, None, ["a"], ["b"], ["a", "b"]],
        "duration_seconds": [None, 900, 3600],
        "tags": [None, None, {"a": "b"}, {"a": "b=c"}, {"a=b": "c"}, {"a": "b", "c": "d"}],
        "external_id": [None, "one", "two"],
        "source_identity": [None, "one", "two"],
        "mfa_serial": [None, None, "one", "two"],
        "minimum_session_token_size": [None, 1024],
        "endpoint_url": [None, None, "https://one.test", "https://two.test"],
        "source_profile": [*AWS_PROFILES, "hop"],
    },
    "root": {
        "target_principal": ["1", "2", "3"],
        "task_policy_arn": [
            *("IAMAuditRootUserCredentials", "IAMCreateRootUserPassword", "IAMDeleteRootUserCredentials"),
            *("S3UnlockBucketPolicy", "SQSUnlockQueuePolicy"),
        ],
        "duration_seconds": [None, 60, 899],
        "endpoint_url": [None, "https://one.test", "https://two.test"],
        "source_profile": [*AWS_PROFILES, "hop"],
    },
    "session": {
        "mfa_serial": ["one", "two"],
        "duration_seconds": [None, 900, 3600],
        "endpoint_url": [None, "https://one.test", "https://two.test"],
        "source_profile": [*AWS_PROFILES],
    },
}


def spelt(key: str, value: Any) -> Any:
    """A value as the configuration wants it."""
    if key == "role_arn":
        return value.replace("::1:", "::111111111111:").replace("::2:", "::222222222222:")
    if key == "target_principal":
        return value * 12
    if key == "mfa_serial":
        return f"arn:aws:iam::999988887777:mfa/{value}"
    if key == "policy_arns":
        return [f"arn:aws:iam::aws:policy/{each}" for each in value]
    return value


def profiles(count: int) -> dict[str, dict[str, Any]]:
    """So many random profiles, each of which makes another call than all the others."""
    chance, found = random.Random(815), {}
    while len(found) < count:
        pool = SETTINGS[chance.choice([*SETTINGS])]
        drawn = {key: chance.choice(values) for key, values in pool.items()}
        table = {key: spelt(key, value) for key, value in drawn.items() if value is not None}
        found[json.dumps(table, sort_keys=True)] = table
    return {f"p{number}": table for number, table in enumerate(found.values())}


def test_no_two_calls_share_a_key() -> None:
    """100,000 random pairs of profiles that are not the same call: no pair has the same KEY."""
    tables = profiles(450)
    hop = {"role_arn": "arn:aws:iam::333333333333:role/Hop", "source_profile": "source-0"}
    document = {"defaults": {"region": "eu-west-1"}, "profiles": {**tables, "hop": hop}}
    config = Config("config.toml", "", document)
    files = AwsFiles("aws-config", "aws-credentials", AWS_PROFILES, {}, {})
    planner = CallPlanner(config, files, {}, NameContext("ana", "laptop"), lambda saved: f"AKIA{saved}")
    keys = {name: planner.call(config.profile(name)).key for name in [*tables, "hop"]}
    pairs = list(combinations(keys, 2))

    assert len(pairs) > 100_000
    assert [pair for pair in pairs if keys[pair[0]] == keys[pair[1]]] == []
