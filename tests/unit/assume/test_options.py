"""The AWS CLI's shorthand; tests/e2e/assume/test_requests.py compares its meaning with the AWS CLI's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credhelper.assume.options import shorthand


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
def test_shorthand_is_read(text, members) -> None:
    assert shorthand(text) == members


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "write NAME=VALUE"),
        ("Key", "write NAME=VALUE"),
        ("Key=a,", "write NAME=VALUE"),
        ("Key=a,b,Value=c", "quote a value that has a comma"),
        ("Key=a,Key=b", "duplicate key 'Key'"),
        *(
            (text, "put the value of 'Key' in quotes")
            for text in ("Key='a", "Key=[a],Value=b", "Key={a=b}", "Key=it's")
        ),
    ],
)
def test_bad_shorthand_is_refused_with_the_right_form(text, problem) -> None:
    with pytest.raises(ValueError, match=problem):
        shorthand(text)


@given(st.dictionaries(st.from_regex(r"[A-Za-z0-9]+", fullmatch=True), st.text(), min_size=1))
def test_any_text_can_be_quoted(members) -> None:
    quoted = {name: text.replace("\\", "\\\\").replace("'", "\\'") for name, text in members.items()}

    assert shorthand(",".join(f"{name}='{text}'" for name, text in quoted.items())) == members
