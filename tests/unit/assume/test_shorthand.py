"""The AWS CLI's shorthand; that it means what it means there, tests/test_api_wire.py compares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credhelper.assume import shorthand


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("arn=arn:aws:iam::aws:policy/ReadOnlyAccess", {"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}),
        ("Key=a,Value=b", {"Key": "a", "Value": "b"}),
        ("Key = a , Value = two words ", {"Key": "a", "Value": "two words"}),
        ("Key=a,Value=", {"Key": "a", "Value": ""}),
        ("Key=a,Value=b=c[d", {"Key": "a", "Value": "b=c[d"}),
        ("Key=a,Value=b\\,c", {"Key": "a", "Value": "b,c"}),
        ("Key='a,b',Value=\"c'd\"", {"Key": "a,b", "Value": "c'd"}),
        ("Key='it\\'s',Value='\\\\'", {"Key": "it's", "Value": "\\"}),
    ],
)
def test_what_it_means(text: str, members: dict[str, str]) -> None:
    """Bare up to a comma, or quoted; blanks around names and values do not count."""
    assert shorthand.parse(text) == members


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "write NAME=VALUE"),
        ("Key", "write NAME=VALUE"),
        ("Key=a,", "write NAME=VALUE"),
        ("Key=a,b,Value=c", "quote a value that has a comma"),
        ("Key=a,Key=b", "'Key' stands in it twice"),
        ("Key='a", "the value of 'Key' is to be in quotes"),
        ("Key=[a],Value=b", "the value of 'Key' is to be in quotes"),
        ("Key={a=b}", "the value of 'Key' is to be in quotes"),
        ("Key=it's", "the value of 'Key' is to be in quotes"),
    ],
)
def test_what_means_nothing(text: str, problem: str) -> None:
    """What to write instead is said."""
    with pytest.raises(ValueError, match=problem):
        shorthand.parse(text)


@given(st.dictionaries(st.from_regex(r"[A-Za-z0-9]+", fullmatch=True), st.text(), min_size=1))
def test_quoted_values_are_any_text(members: dict[str, str]) -> None:
    """Whatever stands in quotes comes back."""

    def quoted(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    text = ",".join(f"{name}={quoted(value)}" for name, value in members.items())

    assert shorthand.parse(text) == members
