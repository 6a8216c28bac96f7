"""Credentials are printed in the one form that every SDK reads, and otherwise never show a secret."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from credhelper.credentials import LAST_SECOND, AccessKey, Clocks, Credentials, utc

CREDENTIALS = Credentials(
    access_key_id="ASIAEXAMPLE",
    secret_access_key="SECRETKEY",
    session_token="SECRETTOKEN",
    expiration=1_790_000_000,
    life=900.0,
    skew=-0.5,
    minted=Clocks(1_789_999_100.0, 77.5, "a boot"),
    account_id="111122223333",
    arn="arn:aws:sts::111122223333:assumed-role/r/me",
    source_identity="me",
)


def test_an_access_key_has_key_secret_token_and_arn_and_no_repr_shows_a_secret() -> None:
    assert CREDENTIALS.access_key == AccessKey("ASIAEXAMPLE", "SECRETKEY", "SECRETTOKEN", CREDENTIALS.arn)
    for value in (CREDENTIALS, CREDENTIALS.access_key, [CREDENTIALS], {"a": CREDENTIALS.access_key}):
        shown = f"{value} {value!r} {value!s}"
        assert ("SECRET" in shown, "ASIAEXAMPLE" in shown) == (False, True)


class TestEnvelope:
    def test_the_envelope_is_one_line_in_aws_s_names_and_order(self) -> None:
        assert CREDENTIALS.envelope() == (
            b'{"Version": 1, "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "SECRETKEY", '
            b'"SessionToken": "SECRETTOKEN", "Expiration": "2026-09-21T14:13:20Z", '
            b'"AccountId": "111122223333"}\n'
        )

    def test_an_unknown_account_is_left_out_and_a_token_of_any_size_is_printed_whole_in_ascii(self) -> None:
        envelope = replace(CREDENTIALS, account_id=None, session_token="\N{KEY}" * 100_000).envelope()
        names = ["Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"]
        assert envelope.isascii()
        assert list(json.loads(envelope)) == names
        assert json.loads(envelope)["SessionToken"] == "\N{KEY}" * 100_000

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0, "1970-01-01T00:00:00Z"), (1.999, "1970-01-01T00:00:01Z"), (LAST_SECOND, "9999-12-31T23:59:59Z")],
    )
    def test_a_time_is_rounded_down(self, seconds: float, text: str) -> None:
        assert utc(seconds) == text


class TestStored:
    @pytest.mark.parametrize(
        "changes", [{}, {"account_id": None, "arn": None, "source_identity": None}, {"minted": Clocks(5.0)}]
    )
    def test_what_is_stored_is_read_back(self, changes: dict[str, Any]) -> None:
        stored = replace(CREDENTIALS, **changes)
        assert stored.to_json().isascii()
        assert Credentials.from_json(stored.to_json()) == stored

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("access_key_id", [None]),
            ("secret_access_key", [5]),
            ("session_token", [["a"]]),
            ("account_id", [111122223333]),
            ("arn", [{}]),
            ("expiration", [None, 1e9, float("inf"), -1, 10**30]),
            ("life", ["900", float("nan"), 10**400]),
            ("skew", [None, float("-inf")]),
            ("minted", [None, [], "abc", {"a": 1, "b": 2, "c": 3}, [None, None, ""], ["1", None, ""]]),
            ("minted", [[1.0, "2", ""], [1.0, 2.0, None], [1.0, 2.0, "boot", "more"]]),
            ("more", [1]),
        ],
    )
    def test_one_invalid_field_is_a_miss(self, name: str, values: list[object]) -> None:
        for value in values:
            document = json.loads(CREDENTIALS.to_json()) | {name: value}
            assert Credentials.from_json(json.dumps(document)) is None, value

    @pytest.mark.parametrize("name", list(json.loads(CREDENTIALS.to_json())))
    def test_a_missing_field_is_a_miss_unless_it_is_optional(self, name: str) -> None:
        document = json.loads(CREDENTIALS.to_json())
        del document[name]
        optional = name in ("account_id", "arn", "source_identity", "answer")
        assert (Credentials.from_json(json.dumps(document)) is not None) == optional


ANYTHING = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(some.text() | ANYTHING.map(json.dumps))
@example("")
@example("{}")
@example("[" * 100_000)
@example("9" * 10_000)
def test_any_text_is_a_miss_and_no_error(text: str) -> None:
    assert Credentials.from_json(text) is None


@given(some.sampled_from(list(json.loads(CREDENTIALS.to_json()))), ANYTHING)
def test_what_is_accepted_can_be_printed(name: str, value: object) -> None:
    found = Credentials.from_json(json.dumps(json.loads(CREDENTIALS.to_json()) | {name: value}))
    assert found is None or json.loads(found.envelope())["Version"] == 1
