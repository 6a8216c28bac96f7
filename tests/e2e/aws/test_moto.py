"""credhelper works with the independent STS of moto: AssumeRole and GetSessionToken."""

from __future__ import annotations

import time

import botocore.session
import pytest

from calls import Desk
from moto_aws import moto_aws

PROFILES = """
[defaults]
source_profile = "org-admin"
region = "eu-west-1"

[profiles.developer]
role_arn = "arn:aws:iam::222233334444:role/Developer"
duration_seconds = 1800
tags = { team = "payments" }

[profiles.mfa]
source_profile = "org-admin"
mfa_serial = "arn:aws:iam::123456789012:mfa/me"
duration_seconds = 900
"""


@pytest.fixture(scope="module")
def moto():
    """moto's server."""
    with moto_aws() as url:
        yield url


@pytest.fixture
def desk(sandbox, monkeypatch, moto):
    """A sandbox whose STS is moto's."""
    sandbox.configure(PROFILES, endpoint=moto)
    return Desk(sandbox, monkeypatch)


def identity(moto, credentials):
    """The identity of these credentials, according to moto."""
    client = botocore.session.Session().create_client(
        "sts",
        region_name="eu-west-1",
        endpoint_url=moto,
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        aws_session_token=credentials.session_token,
    )
    found: dict[str, str] = client.get_caller_identity()
    return found


def test_moto_knows_the_role_session_and_serves_the_program(desk, moto):
    credentials = desk.mint("developer").credentials
    arn = "arn:aws:sts::222233334444:assumed-role/Developer/alice@desk"
    assert (credentials.account_id, credentials.arn) == ("222233334444", arn)
    assert 1790 < credentials.expiration - time.time() <= 1801
    assert identity(moto, credentials)["Arn"] == arn
    assert desk.sandbox.get("developer")["AccountId"] == "222233334444"


def test_moto_knows_the_user_session(desk, moto):
    credentials = desk.mint("mfa", code="123456").credentials
    assert credentials.account_id == "123456789012"
    assert 890 < credentials.expiration - time.time() <= 901
    assert identity(moto, credentials)["Account"] == "123456789012"
