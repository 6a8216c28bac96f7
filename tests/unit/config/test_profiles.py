"""config.toml becomes frozen profiles, or a sentence that names the place."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credhelper.config import profiles
from credhelper.config.keys import BY_NAME, KEYS
from credhelper.errors import ConfigError

import bad_configs
from bad_configs import ACCOUNTS, DEVICE, ROLE, TASK, Bad

if TYPE_CHECKING:
    from collections.abc import Callable

    from credhelper.config.profiles import Config


EXAMPLE = Path(__file__).parents[3] / "config.example.toml"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.fixture
def load(path: Path) -> Callable[[str], Config]:
    def write_and_load(text: str) -> Config:
        path.write_text(text, encoding="utf-8", newline="")
        return profiles.load(str(path))

    return write_and_load


@pytest.fixture
def refused(load: Callable[[str], Config]) -> Callable[..., str]:
    """Write a configuration, ask for a profile, and return the sentence and hints of the refusal."""

    def write_and_ask(text: str, asked: str = "x", **flags: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            load(text).profile(asked, flags)
        return "; ".join((caught.value.sentence, *caught.value.hints))

    return write_and_ask


class TestTargets:
    FILE = (
        f'{ACCOUNTS}[profiles.open]\n{TASK}\n[profiles.closed]\n{TASK}\ntarget_principal = "payments-prod"\n'
    )

    @pytest.mark.parametrize("target", ["payments-prod", "111122223333", "arn:aws:iam::111122223333:root"])
    def test_target_is_an_alias_an_id_or_an_arn(self, load, target: str) -> None:
        profile = load(self.FILE.replace('"payments-prod"', f'"{target}"')).profile("closed")
        assert profile.target_account == profile.account_id == "111122223333"
        assert profile.account_name == "payments-prod"
        assert profile.get("target_principal") == (target if target.startswith("arn:") else "111122223333")

    @pytest.mark.parametrize("target", ["payments-prod", "111122223333"])
    def test_open_target_is_an_alias_or_an_id_with_or_without_a_name(self, load, target: str) -> None:
        profile = load(self.FILE).profile(f"open@{target}")
        assert (profile.name, profile.target_account) == (f"open@{target}", "111122223333")
        assert profile.get("target_principal") == "111122223333"

        profile = load(self.FILE).profile("open@999999999999")
        assert (profile.target_account, profile.account_name) == ("999999999999", None)

    def test_target_flag_beats_the_profile_and_an_arn_after_the_at_is_refused(self, load, refused) -> None:
        given_target = {"target_principal": "222222222222"}
        assert load(self.FILE).profile("closed", given_target).target_account == "222222222222"
        assert refused(self.FILE, "closed", target_principal="nobody").startswith(
            "'--target-principal' names"
        )

        assert "neither an account id nor" in refused(self.FILE, "open@arn:aws:iam::111122223333:root")

    @pytest.mark.parametrize("listed", ["payments-prod", "111122223333"])
    @pytest.mark.parametrize("asked", ["payments-prod", "111122223333"])
    def test_target_lists_compare_account_ids(self, load, refused, listed: str, asked: str) -> None:
        allowing = f'{ACCOUNTS}[profiles.x]\n{TASK}\nallow_targets = ["{listed}"]\n'
        assert load(allowing).profile(f"x@{asked}").target_account == "111122223333"
        assert "'allow_targets' in [profiles.x] does not allow" in refused(allowing, "x@444455556666")
        denying = allowing.replace("allow", "deny")
        assert load(denying).profile("x@444455556666").target_account == "444455556666"
        assert "'deny_targets' in [profiles.x] denies" in refused(denying, f"x@{asked}")

    def test_target_on_both_lists_is_denied_and_an_empty_one_allows_nothing(self, refused) -> None:
        both = f'[profiles.x]\n{TASK}\nallow_targets = ["111122223333"]\ndeny_targets = ["111122223333"]\n'
        assert "'deny_targets'" in refused(both, "x@111122223333")

        assert "does not allow" in refused(f"[profiles.x]\n{TASK}\nallow_targets = []\n", "x@111122223333")

    def test_lists_in_defaults_are_for_assume_root_alone(self, load, refused) -> None:
        defaults = f'{ACCOUNTS}[defaults]\ndeny_targets = ["payments-prod"]\n'
        text = f"{defaults}[profiles.x]\n{TASK}\n[profiles.r]\n{ROLE}\n"
        assert "'deny_targets' in [defaults] denies" in refused(text, "x@payments-prod")
        assert "deny_targets" not in load(text).profile("r").settings


class TestKinds:
    def test_keys_select_the_kind_and_the_account(self, load) -> None:
        loaded = load(
            f'[profiles.a]\n{TASK}\n[profiles.b]\n{ROLE}\n[profiles.c]\n{DEVICE}\nsource_profile = "me"\n'
        )
        found = [loaded.profile(name) for name in ("a@111122223333", "b", "c")]
        assert [profile.kind for profile in found] == ["root", "role", "session"]
        assert [profile.account_id for profile in found[1:]] == ["222233334444", "999988887777"]
        hardware = load('[profiles.c]\nmfa_serial = "GAHT12345678"\nsource_profile = "me"\n')
        assert hardware.profile("c").account_id is None

    @pytest.mark.parametrize(
        ("flag", "value", "said"),
        [
            ("role_arn", "arn:aws:iam::222233334444:role/x", "'--role-arn' and 'task_policy_arn' exclude"),
            ("external_id", "abc", "'--external-id' is not a key of AssumeRoot"),
            ("duration_seconds", 901, "'--duration-seconds' must be 60 to 900 seconds for AssumeRoot"),
            ("region", "Ireland", "'--region' has a value that does not fit"),
        ],
    )
    def test_error_about_a_flag_names_the_flag(self, refused, flag: str, value: object, said: str) -> None:
        assert refused(f"[profiles.x]\n{TASK}\n", "x@111122223333", **{flag: value}).startswith(said)


class TestInheritance:
    def test_flag_beats_profile_and_profile_beats_defaults(self, load) -> None:
        loaded = load(
            f'[defaults]\nregion = "eu-west-1"\nread_timeout = 4\nconnect_timeout = 4\n'
            f'[profiles.x]\n{ROLE}\nregion = "eu-west-2"\nread_timeout = 6\n'
        )
        profile = loaded.profile("x", {"region": "eu-west-3"})
        found = [profile.get(key) for key in ("region", "read_timeout", "connect_timeout")]
        assert found == ["eu-west-3", 6, 4]

    @pytest.mark.parametrize("own", ['credential_source = "Environment"', 'source_key = "me"'])
    def test_source_of_the_profile_replaces_the_inherited_one(self, load, own: str) -> None:
        loaded = load(f'[defaults]\nsource_profile = "admin"\n[profiles.x]\n{ROLE}\n{own}\n')
        assert set(loaded.profile("x").settings) == {"role_arn", own.partition(" ")[0]}
        flagged = loaded.profile("x", {"source_profile": "other"})
        assert set(flagged.settings) == {"role_arn", "source_profile"}

    def test_keys_of_other_kinds_are_not_inherited(self, load) -> None:
        loaded = load(
            f'[defaults]\n{DEVICE}\nrole_session_name = "{{user}}"\nsource_identity = "me"\n'
            f'mfa_session = false\nmfa_command = ["code"]\nconfirm = true\n[profiles.x]\n{TASK}\n'
            '[profiles.s]\nsource_profile = "me"\n'
        )
        root, session = loaded.profile("x@111122223333"), loaded.profile("s")
        assert set(root.settings) == {"task_policy_arn", "target_principal", "confirm"}
        assert set(session.settings) == {"mfa_serial", "mfa_command", "confirm", "source_profile"}

    def test_duration_in_defaults_is_not_for_assume_root(self, load) -> None:
        loaded = load(
            f"[defaults]\nduration_seconds = 7200\n[profiles.x]\n{TASK}\n[profiles.r]\n{ROLE}\n"
            f'[profiles.s]\n{DEVICE}\nsource_profile = "me"\n'
        )
        durations = [loaded.profile(name).get("duration_seconds") for name in ("x@111122223333", "r", "s")]
        assert durations == [900, 7200, 7200]

    @pytest.mark.parametrize("key", [key for key in KEYS if not key.inherited], ids=lambda key: key.name)
    def test_keys_of_one_call_are_refused_in_defaults(self, refused, key) -> None:
        samples = {"role_arn": ROLE.split(" = ")[1], "policy": "'{}'", "tags": '{ a = "b" }'}
        samples |= {"external_id": '"abc"'}
        samples |= {"target_principal": '"111122223333"', "task_policy_arn": '"S3UnlockBucketPolicy"'}
        samples |= {"policy_arns": '["arn:aws:iam::aws:policy/x"]', "transitive_tag_keys": '["a"]'}
        samples |= {"provided_contexts": '[{ ProviderArn = "a", ContextAssertion = "b" }]'}
        line = f"{key.name} = {samples.get(key.name, '1024')}"
        said = refused(f"[defaults]\n{line}\n[profiles.x]\n{ROLE}\n")
        assert f"line 2: '{key.name}' in [defaults] is a profile's own and cannot be inherited" in said


class TestReading:
    def test_broken_profile_leaves_the_others_usable(self, load) -> None:
        loaded = load(f"[profiles.broken]\ncolour = 1\n[profiles.x]\n{ROLE}\n[profiles]\nnumber = 1\n")
        assert loaded.profile("x").kind == "role"
        assert loaded.names == ("broken", "x", "number")
        for name in ("broken", "number"):
            with pytest.raises(ConfigError):
                loaded.profile(name)

    @pytest.mark.parametrize(
        "change", [str, lambda text: text.replace("\n", "\r\n"), lambda text: "\ufeff" + text]
    )
    def test_crlf_and_bom_change_neither_values_nor_line_numbers(self, load, refused, change) -> None:
        text = f'# Žluťoučký kůň\n[profiles.x]\n{ROLE}\ndescription = "für Zoë, 開発"\n'
        assert load(change(text)).profile("x").get("description") == "für Zoë, 開発"
        assert "line 5: 'colour'" in refused(change(text + "colour = 1\n"))

    def test_profile_is_immutable(self, load) -> None:
        profile: Any = load(f"[profiles.x]\n{ROLE}\n").profile("x")
        with pytest.raises(TypeError):
            profile.settings["role_arn"] = "another"
        with pytest.raises(AttributeError):
            profile.name = "y"

    def test_other_tables_are_optional_and_checked_on_load(self, load) -> None:
        loaded = load("[keyring]\ntimeout = 9\n")
        assert (loaded.option("keyring", "timeout"), loaded.option("audit", "required")) == (
            9,
            False,
        )
        with pytest.raises(ConfigError, match=r"line 2: 'timeout' in \[keyring\] must be 1 to 30, not 31"):
            load("[keyring]\ntimeout = 31\n")

    def test_ten_thousand_profiles_load_in_linear_time(self, load) -> None:
        text = "".join(f"[profiles.p{number}]\n{ROLE}\n" for number in range(10_000))
        started = time.monotonic()
        loaded = load(text + "colour = 1\n")
        assert len(loaded.names) == 10_000
        assert loaded.profile("p9998").kind == "role"
        with pytest.raises(ConfigError, match="line 20001: 'colour'"):
            loaded.profile("p9999")
        assert time.monotonic() - started < 10

    def test_line_that_is_nearly_a_key_takes_linear_time(self, refused) -> None:
        started = time.monotonic()
        array = f"[\n{'1' * 4000},\n[{'2' * 4000},\n],\n]"
        assert "line 9: 'colour'" in refused(f"[profiles.y]\na = {array}\n[profiles.x]\n{ROLE}\ncolour = 1\n")
        assert time.monotonic() - started < 10  # backtracking would take for ever


class TestPlace:
    @pytest.mark.parametrize(
        ("text", "line"),
        [
            (f"# colour = 1\n\n[profiles.y]\n{ROLE}\n[profiles.x]  # colour = 1\n{ROLE}\n  colour=1\n", 7),
            (f'[profiles."x"]\n{ROLE}\n"colour" = 1\n', 3),
            (f"[ profiles . 'x' ]\n{ROLE}\n'colour' = 1\n", 3),
            (f'["pro\\u0066iles".x]\n{ROLE}\n"colo\\u0075r" = 1\n', 3),
            (f"[profiles]\ny.{ROLE}\nx.{ROLE}\nx . colour = 1\n", 4),
            (f"profiles.x.{ROLE}\nprofiles.x.colour = 1\n", 2),
            (f"[profiles]\ny = {{ {ROLE} }}\nx = {{ {ROLE}, colour = 1 }}\n", 3),
            (
                f'[profiles.y]\npolicy = """\n[profiles.x]\ncolour=1"""\n[profiles.x]\n{ROLE}\ncolour = 1\n',
                7,
            ),
            (f"[profiles.x]\n{ROLE}\npolicy = '''{{\"a\":\n[1]\n}}'''\ncolour = 1\n", 6),
            (f"[profiles.x]\n{ROLE}\ndescription = \"a # b ''' c\"\ncolour = 1 # '''\n", 4),
            (f"[profiles.x]\n{ROLE}\nmfa_command = [\n  'colour = 1',\n  # colour = 1\n]\ncolour = 1\n", 7),
            (f"[profiles.x]\n{ROLE}\n[profiles.x.colour]\na = 1\n", 3),
            (f"[profiles.x]\n{ROLE}\n[[profiles.x.colour]]\na = 1\n", 3),
            (f"# a\u2028b\x85c\n[profiles.x]\n{ROLE}\ncolour = 1\n", 4),
        ],
    )
    def test_line_is_found_however_the_key_is_written(self, refused, text: str, line: int) -> None:
        said = refused(text)
        assert f"line {line}: 'colour' in [profiles.x] is not a known key" in said

    def test_quoted_names_are_told_from_nested_tables(self, refused) -> None:
        text = f'[profiles.a]\n{ROLE}\n[profiles."a.b=c"]\n{ROLE}\ncolour = 1\n'
        text += f'[profiles."a=b"]\n{ROLE}\nregion = 1\n'
        assert "line 5: 'colour' in [profiles.a.b=c]" in refused(text, "a.b=c")
        assert "line 8: 'region' in [profiles.a=b]" in refused(text, "a=b")

    def test_error_about_an_inherited_value_names_its_line_in_defaults(self, refused) -> None:
        text = f"[defaults]\nduration_seconds = 100000\n[profiles.x]\n{ROLE}\n"
        assert "line 2: 'duration_seconds' in [defaults] must be 900 to 43200" in refused(text)

    def test_nearest_known_name_is_suggested(self, refused) -> None:
        assert "did you mean 'source_profile'" in refused(f"[profiles.x]\n{ROLE}\nsorce_profile = 'me'\n")
        assert "did you mean 'defaults'" in refused("[default]\n")
        assert "did you mean 'payments-prod'" in refused(f"{ACCOUNTS}[profiles.x]\n{TASK}\n", "x@payments")
        assert "did you mean 'developer'" in refused(f"[profiles.developer]\n{ROLE}\n", "developr")
        assert "did you mean" not in refused(f"[profiles.x]\n{ROLE}\nzzz = 1\n")


class TestBad:
    @pytest.mark.parametrize("bad", bad_configs.ALL, ids=lambda bad: bad.name)
    def test_bad_file_is_a_config_error_with_its_place(self, path: Path, bad: Bad) -> None:
        path.write_bytes(bad.content)
        with pytest.raises(ConfigError) as caught:
            profiles.load(str(path)).profile(bad.asked)
        said = "; ".join((caught.value.sentence, *caught.value.hints))
        assert [word for word in bad.words if word not in said] == []
        if bad.line is not None:
            assert caught.value.sentence.startswith(f"'{path}' line {bad.line}: ")
        assert re.match(r"'|no |profile |target |cannot ", said)
        assert not caught.value.sentence.endswith(".")


FUZZ = settings(
    max_examples=400,
    deadline=1000,  # milliseconds for one configuration
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
)

WORDS = "profiles defaults accounts keyring arn: role_arn tags x @ 0x 1e9 nan"
PIECES = st.sampled_from([*"[]{}\"'=.,\n#\\\ufeff\0\u2028", '"""', "'''", *WORDS.split()])
SCALARS = (
    st.integers()
    | st.integers(10**5000, 10**5001)
    | st.floats()
    | st.booleans()
    | st.text(max_size=40)
    | st.from_regex(r"\A(arn:)?(aws)?[-:a-z0-9/{}@]{0,30}\Z")
    | st.datetimes()
    | st.sampled_from(
        ["eu-west-1", "cn-north-1", "S3UnlockBucketPolicy", "111122223333", "a", "[", "{user", "{}"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)
TABLE = st.dictionaries(st.sampled_from([*BY_NAME]) | st.text(max_size=8), VALUES, max_size=5)
KIND = st.sampled_from(
    [
        {},
        {"role_arn": "arn:aws:iam::222233334444:role/x"},
        {"task_policy_arn": "S3UnlockBucketPolicy"},
        {"mfa_serial": "arn:aws:iam::999988887777:mfa/me", "source_profile": "me"},
    ]
)
PROFILE = st.builds(lambda own, kind: {**own, **kind}, TABLE, KIND)
FILE = st.fixed_dictionaries(
    {"profiles": st.dictionaries(st.just("x") | st.text(max_size=8), PROFILE, min_size=1, max_size=2)},
    optional={
        "accounts": st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=2),
        "defaults": st.dictionaries(st.sampled_from([*BY_NAME]), VALUES, max_size=1),
        "keyring": st.dictionaries(st.sampled_from(["backend", "timeout"]), VALUES, max_size=1),
        "audit": VALUES,
    },
)


def quoted(text: str) -> str:
    """A TOML string, without the characters that TOML excludes."""
    return '"' + "".join(f"\\U{ord(c):08x}" for c in text if not 0xD800 <= ord(c) < 0xE000) + '"'


def toml(value: object) -> str:
    """A value in TOML, tables inline."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return hex(value) if value >= 0 else str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        pairs = {quoted(key): toml(item) for key, item in value.items()}
        return "{" + ", ".join(f"{key} = {item}" for key, item in pairs.items()) + "}"
    return str(value.isoformat())  # type: ignore[attr-defined]


IGNORED = ("ignore::FutureWarning", "ignore::DeprecationWarning")  # of odd regular expressions


@pytest.mark.filterwarnings(*IGNORED)
class TestFuzz:
    EVERY_KEY = re.sub(rb"(?m)^# (?=[a-z_]+ = )", b"", EXAMPLE.read_bytes())

    @staticmethod
    def ask(path: Path, content: bytes) -> None:
        """Load, and ask for every profile there is."""
        path.write_bytes(content)
        with suppress(ConfigError):
            loaded = profiles.load(str(path))
            for name in loaded.names:
                for asked in (name, f"{name}@111122223333", f"{name}@payments-prod"):
                    with suppress(ConfigError):
                        assert loaded.profile(asked).account_id is not Ellipsis

    @FUZZ
    @given(text=st.text() | st.lists(PIECES).map("".join))
    def test_any_text_is_read_or_refused(self, path: Path, text: str) -> None:
        self.ask(path, text.encode("utf-8", "surrogatepass"))

    @FUZZ
    @given(data=st.data())
    def test_mutated_example_is_read_or_refused(self, path: Path, data) -> None:
        content = bytearray(self.EVERY_KEY)
        for _ in range(data.draw(st.integers(1, 4))):
            start = data.draw(st.integers(0, len(content)))
            length = data.draw(st.integers(0, 8))
            content[start : start + length] = data.draw(st.binary(max_size=4) | PIECES.map(str.encode))
        self.ask(path, bytes(content))

    @FUZZ
    @given(tables=FILE)
    def test_any_values_are_read_or_refused(self, path: Path, tables: dict[str, Any]) -> None:
        text = "\n".join(f"{name} = {toml(table)}" for name, table in tables.items())
        self.ask(path, text.encode())
