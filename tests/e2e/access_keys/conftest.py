"""A sandbox with a real Secret Service, and an IAM that knows its users' keys."""

from __future__ import annotations

import shutil
import signal
import time
import uuid

import pytest

from credhelper.cache.index import SavedKey

import requirements
from iam import LoopbackIam
from sandbox import HAS_SECRET_SERVICE
from saved_keys import PROFILES, KeySandbox, empty_keyring


@pytest.fixture(scope="module")
def shared_iam():
    """One server for all tests."""
    with LoopbackIam() as server:
        yield server


@pytest.fixture
def iam(shared_iam):
    """An IAM and its STS, without faults."""
    shared_iam.faults.clear()
    shared_iam.calls.clear()
    shared_iam.sts.reset()
    shared_iam.lag, shared_iam.demands_mfa = 0, False
    return shared_iam


def configured(sandbox, iam):
    """The sandbox with profiles, endpoints, and a new user."""
    sandbox.configure(PROFILES, endpoint=iam.sts.url)
    sandbox.environ["AWS_ENDPOINT_URL_IAM"] = iam.url
    sandbox.iam, sandbox.user = iam, f"user-{uuid.uuid4().hex[:8]}"
    sandbox.key = iam.user(sandbox.user)
    return sandbox


@pytest.fixture
def bare(tmp_path_factory, iam):
    """A sandbox without a keyring."""
    return configured(KeySandbox(tmp_path_factory.mktemp("bare") / "home"), iam)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A sandbox with a Secret Service, one for all tests: it takes longer to start than most tests."""
    if not HAS_SECRET_SERVICE:
        requirements.missing("gnome-keyring")
    sandbox = KeySandbox(tmp_path_factory.mktemp("machine") / "home")
    with sandbox.secret_service() as sandbox.service:
        yield sandbox


@pytest.fixture
def desk(machine, iam, monkeypatch):
    """A sandbox with an empty keyring, no state and no cached sessions; it may stop its Secret Service."""
    environ = dict(machine.environ)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", environ["DBUS_SESSION_BUS_ADDRESS"])
    empty_keyring()
    for place in (machine.state, machine.runtime):
        shutil.rmtree(place, ignore_errors=True)
    yield configured(machine, iam)
    machine.service.signal(signal.SIGCONT)
    machine.environ = environ


@pytest.fixture
def saved(desk):
    """The user's key, saved as 'ci' as `key add --no-check` saves it."""
    desk.store().index.add(SavedKey("ci", desk.key.access_key_id, None, None, int(time.time())))
    desk.store().save_key("ci", desk.key)
    return desk.key
