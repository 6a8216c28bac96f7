"""Credentials are printed in the one form that every SDK reads, and otherwise never show a secret."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
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


class TestSecrecy:
    def test_repr(self) -> None:
        """Neither repr nor a formatted string shows the secret key or the token."""
        for value in (CREDENTIALS, CREDENTIALS.access_key, [CREDENTIALS], {"a": CREDENTIALS.access_key}):
            shown = f"{value} {value!r} {value!s}"
            assert "SECRET" not in shown
            assert "ASIAEXAMPLE" in shown

    def test_what_signs_the_next_call(self) -> None:
        """A session's keys are its key, secret and token, and whose they are."""
        assert CREDENTIALS.access_key == AccessKey("ASIAEXAMPLE", "SECRETKEY", "SECRETTOKEN", CREDENTIALS.arn)


class TestEnvelope:
    def test_the_exact_bytes(self) -> None:
        """One JSON object on one line, in AWS's names and order, with the time as every SDK parses it."""
        assert CREDENTIALS.envelope() == (
            b'{"Version": 1, "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "SECRETKEY", '
            b'"SessionToken": "SECRETTOKEN", "Expiration": "2026-09-21T14:13:20Z", '
            b'"AccountId": "111122223333"}\n'
        )

    def test_an_unknown_account_is_left_out(self) -> None:
        """Where the account is not known, there is no AccountId: some SDKs refuse null."""
        document = json.loads(replace(CREDENTIALS, account_id=None).envelope())
        assert list(document) == ["Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"]

    def test_a_long_token(self) -> None:
        """A token of any size is printed whole, in ASCII."""
        envelope = replace(CREDENTIALS, session_token="\N{KEY}" * 100_000).envelope()
        assert envelope.isascii()
        assert json.loads(envelope)["SessionToken"] == "\N{KEY}" * 100_000

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0, "1970-01-01T00:00:00Z"), (1.999, "1970-01-01T00:00:01Z"), (LAST_SECOND, "9999-12-31T23:59:59Z")],
    )
    def test_times(self, seconds: float, text: str) -> None:
        """A time is rounded down, so that it is never later than what STS said."""
        assert utc(seconds) == text


class TestStored:
    @pytest.mark.parametrize(
        "changes", [{}, {"account_id": None, "arn": None, "source_identity": None}, {"minted": Clocks(5.0)}]
    )
    def test_round_trip(self, changes: dict[str, Any]) -> None:
        """What the keyring holds is all that there is, in ASCII."""
        stored = replace(CREDENTIALS, **changes)
        assert stored.to_json().isascii()
        assert Credentials.from_json(stored.to_json()) == stored

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("access_key_id", None),
            ("secret_access_key", 5),
            ("session_token", ["a"]),
            ("account_id", 111122223333),
            ("arn", {}),
            ("expiration", None),
            ("expiration", 1e9),
            ("expiration", float("inf")),
            ("expiration", -1),
            ("expiration", 10**30),
            ("life", "900"),
            ("life", float("nan")),
            ("life", 10**400),
            ("skew", None),
            ("skew", float("-inf")),
            ("minted", None),
            ("minted", []),
            ("minted", "abc"),
            ("minted", {"a": 1, "b": 2, "c": 3}),
            ("minted", [None, None, ""]),
            ("minted", ["1", None, ""]),
            ("minted", [1.0, "2", ""]),
            ("minted", [1.0, 2.0, None]),
            ("minted", [1.0, 2.0, "boot", "more"]),
            ("more", 1),
        ],
    )
    def test_a_field_that_cannot_be(self, name: str, value: object) -> None:
        """One field of the wrong kind, or beyond reckoning, makes the whole a miss."""
        document = json.loads(CREDENTIALS.to_json()) | {name: value}
        assert Credentials.from_json(json.dumps(document)) is None

    @pytest.mark.parametrize("text", ["", "[]", "5", "null", '"text"', "{}", "[" * 100_000, "9" * 10_000])
    def test_anything_else(self, text: str) -> None:
        """What is not an object of ours is a miss."""
        assert Credentials.from_json(text) is None

    @pytest.mark.parametrize("name", list(json.loads(CREDENTIALS.to_json())))
    def test_a_missing_field(self, name: str) -> None:
        """A field that is missing makes a miss, but for those that may be unknown."""
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
def test_no_text_is_an_error(text: str) -> None:
    """Whatever the keyring returns, it is a miss and no error."""
    assert Credentials.from_json(text) is None


@given(some.sampled_from(list(json.loads(CREDENTIALS.to_json()))), ANYTHING)
def test_what_is_accepted_can_be_used(name: str, value: object) -> None:
    """With any value in any field it is a miss, or credentials that can be printed."""
    found = Credentials.from_json(json.dumps(json.loads(CREDENTIALS.to_json()) | {name: value}))
    assert found is None or json.loads(found.envelope())["Version"] == 1
