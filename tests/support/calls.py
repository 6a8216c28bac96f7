"""Calls built and made in this process, from a configuration and an environment, as `get` does it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from credhelper.aws.sts import Sts
from credhelper.awsconfig import profiles
from credhelper.config import profiles as config_profiles
from credhelper.credentials import AccessKey
from credhelper.deadline import Deadline
from credhelper.sessions.calls import CallPlanner, StsCall
from credhelper.sessions.parameters import NameContext

from sts import SOURCE_KEY_ID, SOURCE_SECRET

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from credhelper.credentials import Minted
    from credhelper.sessions.caller import Node

    from sandbox import Sandbox

SOURCE_KEYS = AccessKey(SOURCE_KEY_ID, SOURCE_SECRET)


@dataclass
class Desk:
    """A sandbox's files and environment, read in this process, as by botocore."""

    sandbox: Sandbox
    monkeypatch: pytest.MonkeyPatch
    person: NameContext = field(default_factory=lambda: NameContext("alice", "desk"))
    saved_keys: dict[str, str] = field(default_factory=dict)
    came_from: tuple[Node, ...] = ()

    def setenv(self, **variables: str) -> None:
        """Set variables here and for every program of the sandbox."""
        self.sandbox.environ.update(variables)

    def call(self, name: str, **flags: Any) -> StsCall:
        """The call that answers for a profile."""
        loaded = config_profiles.load(str(self.sandbox.config))
        environ = self._environ()
        files = profiles.read(environ)
        planner = CallPlanner(loaded, files, environ, self.person, self.saved_keys.get, self.came_from)
        return planner.call(loaded.profile(name, flags))

    def key(self, name: str, **flags: Any) -> str:
        """The KEY of that call."""
        return self.call(name, **flags).key

    def source_key(self, name: str, seconds: float = 20) -> AccessKey:
        """The source credentials of a profile whose chain has one call."""
        call = self.call(name)
        return Sts(self._environ()).source_key(call.source, call.path, Deadline(seconds))

    def mint(
        self,
        name: str,
        access_key: AccessKey = SOURCE_KEYS,
        code: str | None = None,
        seconds: float = 50,
        **flags: Any,
    ) -> Minted:
        """Make the call of a profile, with these keys."""
        return self.aws().mint(self.call(name, **flags), access_key, code, Deadline(seconds))

    def aws(self) -> Sts:
        """What asks AWS."""
        return Sts(self._environ())

    def client(self, name: str, **flags: Any) -> Any:
        """The botocore client that the call of a profile goes through."""
        return self.aws()._client(self.call(name, **flags), SOURCE_KEYS)

    def _environ(self) -> Mapping[str, str]:
        """The sandbox's environment, which replaces os.environ during the test."""
        for name in set(os.environ) - set(self.sandbox.environ):
            if not name.startswith("PYTEST"):
                self.monkeypatch.delenv(name)
        for name, value in self.sandbox.environ.items():
            self.monkeypatch.setenv(name, value)
        return os.environ
