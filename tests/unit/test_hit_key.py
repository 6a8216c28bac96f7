"""The hit key has all that an answer depends on; where that cannot be known there is none."""

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

OTHER_USER = 65534
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


WORD = some.binary(max_size=6).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"")))
CALLS = some.lists(WORD, max_size=4)


class TestArguments:
    def test_only_the_same_call_has_the_same_key(self, place: Place) -> None:
        calls = [
            *([], [""], ["", ""], ["a"], ["a", ""], ["", "a"], ["a", "b"], ["b", "a"], ["a b"], ["ab"]),
            *(["a", "b", ""], ["a\nb"], ["a\\nb"], ["a\\", "nb"], ["a\\\nb"], ["-"], ["=a"], ["A"]),
            ["dev", "--yes"],
            *([os.fsdecode(raw)] for raw in (b"\xff", b"\xfe", b"\xc3\xbf", b"\xff\xff")),
        ]
        keys = [place.key(*call) for call in calls]
        assert keys == [place.key(*call) for call in calls]
        assert len({*keys} - {None}) == len(calls)

    def test_the_arguments_are_not_changed(self, place: Place) -> None:
        arguments = ["dev"]
        wire.hit_key(arguments, place.environ)
        assert arguments == ["dev"]

    @given(CALLS, CALLS)
    @example(["\\", "n"], ["\\", "\n"])
    @example(["\\n"], ["\n"])
    @settings(max_examples=300)
    def test_a_key_is_one_line_and_equal_only_for_equal_calls(self, one: list[str], other: list[str]) -> None:
        keys = [wire.hit_key(call, {"CREDHELPER_CONFIG": "/nowhere"}) for call in (one, other)]

        for key in keys:
            assert key is not None
            assert b"\n" not in key
            assert (b"get %s" % key).partition(b" ")[2] == key
        assert (keys[0] == keys[1]) == (one == other)

    @pytest.mark.parametrize("flag", ["--refresh", "--no-cache", "--help", "-h"])
    def test_flags_that_ask_for_more_have_no_key(self, place: Place, flag: str) -> None:
        for call in ([flag], [flag, "dev"], ["dev", flag], ["dev", "--yes", flag, "--show"]):
            assert place.key(*call) is None

    def test_the_longest_key_fits_a_request_and_a_longer_one_is_none(self, place: Place) -> None:
        spare = wire.LONGEST_LINE - 17 - len(place.key("") or b"")
        longest = place.key("x" * spare)

        assert longest is not None
        assert len(b"renew %s\n" % longest) <= wire.LONGEST_LINE == 8192
        assert place.key("x" * (spare + 1)) is None


class TestContext:
    def test_the_variables_are_those_of_the_design(self) -> None:
        assert list(wire.CONTEXT) == DESIGN.split()

    @pytest.mark.parametrize("name", DESIGN.split())
    def test_each_value_of_a_variable_counts(self, place: Place, name: str) -> None:
        values = (None, "", "a", "b", "=", "-")

        assert len({place.key("dev", **{name: value}) for value in values} - {None}) == len(values)

    def test_a_value_in_another_variable_or_argument_is_another_key(self, place: Place) -> None:
        keys = {place.key("dev", **{name: "x"}) for name in wire.CONTEXT[3:] if "FILE" not in name}
        keys |= {place.key("dev", "=x"), place.key("dev", "x"), place.key("dev=x"), place.key("dev")}

        assert len(keys - {None}) == len([name for name in wire.CONTEXT[3:] if "FILE" not in name]) + 4

    @pytest.mark.parametrize("name", ["AWS_PROFILE", "PATH", "TERM", "PYTHONPATH", "AWS_SECRET_ACCESS_KEY"])
    def test_other_variables_do_not_count(self, place: Place, name: str) -> None:
        assert place.key("dev", **{name: "x"}) == place.key("dev")


class TestFiles:
    @pytest.mark.parametrize("name", FILES)
    def test_each_change_of_a_file_counts(self, place: Place, name: str) -> None:
        path, new = place.path / name, place.path / "new"
        status = path.stat()
        times = (status.st_atime_ns, status.st_mtime_ns)
        new.write_text("text")
        os.utime(new, ns=times)
        keys = {place.key("dev")}
        for change in (
            lambda: path.write_text("more text"),
            lambda: (path.write_text("text"), os.utime(path, ns=times)),
            lambda: path.chmod(0o640),
            lambda: new.replace(path),
            path.unlink,
        ):
            change()
            keys.add(place.key("dev"))
        assert len(keys - {None}) == 6

    @pytest.mark.parametrize("file", FILES)
    @pytest.mark.parametrize("fact", ["st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns"])
    def test_identity_size_and_times_of_a_file_count(
        self, place: Place, monkeypatch: pytest.MonkeyPatch, file: str, fact: str
    ) -> None:
        path, stat = str(place.path / file), os.stat
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

    def test_files_in_each_others_places_are_another_key(self, place: Place) -> None:
        first, second = (str(place.path / name) for name in FILES[1:])
        one = place.key("dev", AWS_CONFIG_FILE=first, AWS_SHARED_CREDENTIALS_FILE=second)

        assert one != place.key("dev", AWS_CONFIG_FILE=second, AWS_SHARED_CREDENTIALS_FILE=first)

    @pytest.mark.parametrize("name", FILES)
    def test_a_link_counts_as_its_target(self, place: Place, name: str) -> None:
        path = place.path / name
        path.rename(place.path / "one")
        (place.path / "two").write_text("text")
        path.symlink_to("one")
        before = place.key("dev")
        path.unlink()
        path.symlink_to("two")

        assert place.key("dev") != before is not None

    @pytest.mark.parametrize("name", FILES)
    def test_a_change_within_2_s_or_in_the_future_has_no_key(self, place: Place, name: str) -> None:
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

    def test_a_modification_time_in_the_future_has_no_key(self, place: Place) -> None:
        future = place.clock + 1
        os.utime(place.path / FILES[0], (future, future))

        assert place.key("dev") is None

    def test_two_edits_of_one_size_at_once_have_no_key(self, place: Place) -> None:
        path = place.path / FILES[0]
        for text in ("one!", "two!"):
            with path.open("r+") as file:
                file.write(text)
            place.clock = path.stat().st_ctime + 1.9
            assert place.key("dev") is None

        place.clock += 0.2
        assert place.key("dev") is not None

    def test_a_file_that_cannot_be_read_has_no_key(self, place: Place) -> None:
        (place.path / "loop").symlink_to("loop")
        for name in ("CREDHELPER_CONFIG", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            assert place.key("dev", **{name: str(place.path / "loop")}) is None
            assert place.key("dev", **{name: str(place.path / ("x" * 300))}) is None

    def test_a_file_in_a_closed_directory_has_no_key(self, place: Place) -> None:
        closed = place.path / "closed"
        closed.mkdir(0)
        environ = {**place.environ, "AWS_CONFIG_FILE": str(closed / "config")}
        with without_root():
            assert wire.hit_key(["dev"], environ) is None

    @pytest.mark.parametrize("path", ["nowhere", "nowhere/below", "config.toml/below"])
    def test_a_file_that_appears_is_another_key(self, place: Place, path: str) -> None:
        before = place.key("dev", AWS_CONFIG_FILE=str(place.path / path))
        (place.path / "nowhere").write_text("text")

        assert before is not None
        if path == "nowhere":
            assert place.key("dev", AWS_CONFIG_FILE=str(place.path / path)) != before


@contextmanager
def without_root() -> Iterator[None]:
    """Without root's right to enter every directory."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(OTHER_USER)
    try:
        yield
    finally:
        os.seteuid(0)


XDG = ("/etc/xdg", "/etc/xdg/", "/etc/../xdg", "/with blanks/\u00e4", "/", "relative", "./relative")
XDG += ("~/.other", "$HOME/.other", "", "  ", " /etc/xdg", "/etc/xdg ", "\t/etc/xdg\n")
OWN = ("", "here.toml", "~/there.toml", "/etc/../there.toml", "$HOME/there.toml", " /there.toml")
HOMES: list[dict[str, str | None]] = [
    {},
    *({"XDG_CONFIG_HOME": value} for value in XDG),
    *({"HOME": value} for value in ("/home/me/", "/", None)),
    {"HOME": None, "XDG_CONFIG_HOME": "relative"},
    *({"CREDHELPER_CONFIG": value} for value in OWN),
    {"CREDHELPER_CONFIG": "", "XDG_CONFIG_HOME": "/etc/xdg"},
]
ODD_HOMES = [{"HOME": ""}, {"HOME": "relative"}]


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
    @pytest.mark.parametrize("changes", [*HOMES, *ODD_HOMES], ids=json.dumps)
    def test_config_toml_is_where_platformdirs_has_it_or_the_key_is_dropped(
        self, system: str, changes: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        environ = in_home(changes, monkeypatch)
        files, places = wire.configuration_files(environ), paths.find(environ)
        pending = app._checked(wire.PendingRequest(key=b"key"), environ, places)

        assert files is not None
        assert pending is not None
        assert pending.key == (b"key" if os.path.abspath(files[0]) == places.config else None)
        home = changes.get("XDG_CONFIG_HOME") or ""
        stripped = sys.version_info < (3, 11) and home.strip() != home  # by platformdirs for Python 3.10
        assert pending.key or changes in ODD_HOMES or stripped

    def test_on_macos_config_toml_is_in_the_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
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
    def test_the_sdk_files_are_where_its_variables_say(
        self, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: list[str]
    ) -> None:
        files = wire.configuration_files(in_home({**environ}, monkeypatch))

        assert files is not None
        assert [*files[1:]] == expected

    @pytest.mark.parametrize("name", ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"])
    def test_a_variable_in_a_path_of_the_sdk_has_no_key(self, place: Place, name: str) -> None:
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
    """A client of the agent."""

    word, number, body = "", 0, b""

    def reply(self, word: str, number: int = 0, body: bytes | bytearray = b"") -> None:
        self.word, self.number, self.body = word, number, bytes(body)


def test_100_000_callers_get_the_answer_of_their_own_call(place: Place) -> None:
    chance = random.Random(4711)
    ours, aws = ("one.toml", "two.toml"), ("one-aws", "two-aws")
    edits = dict.fromkeys((*ours, *aws), 0)
    worlds = [World(place, (first, second), edits) for first in ours for second in aws]
    for name in edits:
        (place.path / name).write_text("0000")
        os.utime(place.path / name, (1_000_000, 1_000_000))
    agent, hits = Memory(lambda: Now(0.0, 0.0, 0.0)), 0
    thresholds = ExpiryThresholds(900, 900, 690, 630, 60)
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
            agent.put(lease, bytearray(world.answer(arguments)), thresholds, "", "")
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
    """Random profiles, each of which makes another call than all the others."""
    chance, found = random.Random(815), {}
    while len(found) < count:
        pool = SETTINGS[chance.choice([*SETTINGS])]
        drawn = {key: chance.choice(values) for key, values in pool.items()}
        table = {key: spelt(key, value) for key, value in drawn.items() if value is not None}
        found[json.dumps(table, sort_keys=True)] = table
    return {f"p{number}": table for number, table in enumerate(found.values())}


def test_100_000_pairs_of_calls_share_no_key() -> None:
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
