"""Access keys as AWS gives them."""

from __future__ import annotations

import pytest

from credhelper.access_keys import parse
from credhelper.credentials import AccessKey
from credhelper.errors import ConfigError

KEY = AccessKey("AKIAIOSFODNN7EXAMPLE", "SECRETwJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAM")


@pytest.mark.parametrize(
    "form",
    [
        pytest.param("\n {0}\r\n\t{1} \r\n\n", id="two lines"),
        pytest.param("\ufeffAccess key ID,Secret access key\r\n{0},{1}\r\n", id="CSV of the console"),
        pytest.param('{{"AccessKeyId": "{0}", "SecretAccessKey": "{1}"}}', id="JSON"),
        pytest.param(
            '{{"AccessKey": {{"UserName": "me", "AccessKeyId": "{0}", "SecretAccessKey": "{1}"}}}}',
            id="JSON of the CLI",
        ),
    ],
)
def test_each_form_of_aws_is_read(form: str) -> None:
    text = form.format(KEY.access_key_id, KEY.secret_access_key).encode()
    assert parse.parse(text, None) == parse.parse(text, KEY.access_key_id) == KEY


@pytest.mark.parametrize(
    "form",
    [
        "{0}\n\x1bSECRETSECRETSECRETSECRET\n",
        "{0}\n{1}\n{1}\n",
        "{0}\n{1}" + "\n" * 70_000,
        '{{"AccessKey": ["{1}"]}}',
        '{{"AccessKeyId": "{0}", "SecretAccessKey": 5}}',
        '{{"AccessKeyId":' * 5_000,
        '{{"AccessKeyId": "{0}", "SecretAccessKey": "{1}", "SessionToken": "{1}"}}',
        '{{"Credentials": {{"SecretAccessKey": "{1}"}}}}',
        "Access key ID,Secret access key\n{0},{1},\x00",
        "\udcff\udcfe",
    ],
)
def test_any_other_text_is_refused_without_quoting_a_secret(form: str) -> None:
    text = form.format(KEY.access_key_id, KEY.secret_access_key)
    with pytest.raises(ConfigError) as error:
        parse.parse(text.encode("utf-8", "surrogateescape"), None)
    assert "SECRET" not in f"{error.value} {error.value.hints}"
