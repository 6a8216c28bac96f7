"""A sandbox with a real Secret Service, and an IAM that knows its users' keys."""

from __future__ import annotations

import shutil
import signal
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from credhelper.cache.index import SavedKey

import requirements
from iam import LoopbackIam
from sandbox import HAS_SECRET_SERVICE
from saved_keys import PROFILES, KeySandbox, empty_keyring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credhelper.credentials import AccessKey

    from sandbox import SecretService


@pytest.fixture(scope="module")
def shared_iam() -> Iterator[LoopbackIam]:
    """One server for all tests."""
    with LoopbackIam() as server:
        yield server


@pytest.fixture
def iam(shared_iam: LoopbackIam) -> LoopbackIam:
    """An IAM and its STS, without faults."""
    shared_iam.faults.clear()
    shared_iam.calls.clear()
    shared_iam.sts.reset()
    shared_iam.lag, shared_iam.demands_mfa = 0, False
    return shared_iam


@pytest.fixture
def user() -> str:
    """The name of a user that no other test has."""
    return f"user-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def key(iam: LoopbackIam, user: str) -> AccessKey:
    """The user's access key."""
    return iam.user(user)


def configured(sandbox: KeySandbox, iam: LoopbackIam) -> KeySandbox:
    """The sandbox, with profiles and endpoints."""
    sandbox.configure(PROFILES, endpoint=iam.sts.url)
    sandbox.environ["AWS_ENDPOINT_URL_IAM"] = iam.url
    return sandbox


@pytest.fixture
def bare(tmp_path_factory: pytest.TempPathFactory, iam: LoopbackIam) -> KeySandbox:
    """A sandbox without a keyring."""
    return configured(KeySandbox(tmp_path_factory.mktemp("bare") / "home"), iam)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KeySandbox, SecretService]]:
    """A sandbox and its Secret Service, one for all tests: it takes longer to start than most tests."""
    if not HAS_SECRET_SERVICE:
        requirements.missing("gnome-keyring")
    sandbox = KeySandbox(tmp_path_factory.mktemp("machine") / "home")
    with sandbox.secret_service() as service:
        yield sandbox, service


@pytest.fixture
def service(machine: tuple[KeySandbox, SecretService]) -> Iterator[SecretService]:
    """The Secret Service, which the test may stop."""
    yield machine[1]
    machine[1].signal(signal.SIGCONT)


@pytest.fixture
def desk(
    machine: tuple[KeySandbox, SecretService],
    iam: LoopbackIam,
    service: SecretService,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[KeySandbox]:
    """A sandbox with an empty keyring, no state and no cached sessions."""
    sandbox, environ = machine[0], dict(machine[0].environ)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", environ["DBUS_SESSION_BUS_ADDRESS"])
    empty_keyring()
    for place in (sandbox.state, sandbox.runtime):
        shutil.rmtree(place, ignore_errors=True)
    yield configured(sandbox, iam)
    sandbox.environ = environ


@pytest.fixture
def saved(desk: KeySandbox, key: AccessKey) -> AccessKey:
    """The user's key, saved as 'ci' as `key add --no-check` saves it."""
    desk.store().index.add(SavedKey("ci", key.access_key_id, None, None, int(time.time())))
    desk.store().save_key("ci", key)
    return key
