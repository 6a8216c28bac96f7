"""A session provider over a real store, locks and audit log; AWS and the clocks are scripted."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from credhelper import expiry, prompts
from credhelper.agent.client import AgentClient
from credhelper.audit import Audit
from credhelper.awsconfig.profiles import AwsFiles
from credhelper.cache.index import Index
from credhelper.cache.keyring import OsKeyring
from credhelper.cache.locks import FileLocks
from credhelper.cache.store import Store
from credhelper.config.profiles import Config
from credhelper.credentials import AccessKey, Clocks, Credentials, Minted
from credhelper.deadline import Deadline
from credhelper.errors import CredhelperError, RefusedError
from credhelper.log import Log
from credhelper.prompts import Answer
from credhelper.sessions.caller import CallerContext
from credhelper.sessions.calls import CallPlanner, StsCall
from credhelper.sessions.consent import Consent, UserInput
from credhelper.sessions.minter import Minter
from credhelper.sessions.parameters import NameContext
from credhelper.sessions.prompter import Prompter
from credhelper.sessions.provider import Caches, SessionProvider

from memory_keyring import MemoryKeyring

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from credhelper.prompts import Question

EPOCH = 1_800_000_000.0
ROLE = "arn:aws:iam::222233334444:role/Developer"


@dataclass
class Time:
    """This machine's clocks, moved by hand."""

    wall: float = EPOCH
    boot: float = 5000.0
    boot_id: str = "first"

    def read(self) -> Clocks:
        return Clocks(self.wall, self.boot, self.boot_id)

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.boot += seconds


@dataclass
class ScriptedAws:
    """Mints sessions of `life` seconds, or raises what the script says next."""

    time: Time
    life: float = 3600.0
    skew: float = 0.0
    script: deque[CredhelperError] = field(default_factory=deque)
    minted: list[tuple[str, str, str | None]] = field(default_factory=list)

    def source_key(self, *_: object) -> AccessKey:
        return AccessKey("AKIASOURCE", "source-secret")

    def mint(self, call: StsCall, access_key: AccessKey, code: str | None, deadline: Deadline) -> Minted:
        if self.script:
            raise self.script.popleft()
        self.minted.append((call.profile.name, access_key.access_key_id, code))
        credentials = Credentials(
            f"ASIA{len(self.minted)}",
            "secret",
            "token",
            expiration=int(self.time.wall + self.skew + self.life),
            life=self.life,
            skew=self.skew,
            minted=self.time.read(),
            arn=f"arn:aws:sts::222233334444:assumed-role/{call.profile.name}/me",
        )
        return Minted(credentials, "request-1")


class Desk:
    """A session provider with its parts, over a temporary state directory."""

    def __init__(self, place: Path, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(expiry, "read_clocks", time.read)
        monkeypatch.setattr(prompts, "ask", self.answer)
        MemoryKeyring.items.clear()
        self.time = time
        self.aws = ScriptedAws(time)
        self.place = place
        self.profiles: dict[str, dict[str, Any]] = {"dev": {"role_arn": ROLE}}
        self.loaded = 0
        self.required = False
        self.locks_in: str | None = str(place)
        self.said = UserInput()
        self.ask_code: Callable[[Question], str] | None = None
        self.seconds = 50.0

    def provider(self, started: Clocks | None = None) -> SessionProvider:
        log = Log(str(self.place / "state/credhelper.log"))
        locks = FileLocks(self.locks_in, log)
        keyring = OsKeyring("memory_keyring.MemoryKeyring", {})
        self.store = Store(keyring, Index(str(self.place / "state/items.jsonl"), locks, log), log)
        context = CallerContext({}, log, Deadline(self.seconds), started or self.time.read(), "terraform")
        agent = self.agent(log)
        prompter = self.ask_code and Prompter(context, locks, agent)
        consent = Consent(self.said, locks, "ana", prompter)
        audit = Audit(str(self.place / "state/audit.jsonl"), log, required=self.required)
        minter = Minter(self._load, consent, audit, context)
        return SessionProvider(Caches(self.store, agent, locks), minter, context)

    def answer(self, question: Question, **_: object) -> Answer:
        assert self.ask_code is not None
        return Answer(self.ask_code(question), "test")

    def agent(self, log: Log) -> AgentClient:
        return AgentClient(None, log, idle_seconds=900)

    def _load(self) -> ScriptedAws:
        self.loaded += 1
        return self.aws

    def call(self, name: str = "dev") -> StsCall:
        config = Config("config.toml", "", {"defaults": {"region": "eu-west-1"}, "profiles": self.profiles})
        static = {"aws_access_key_id": "AKIASOURCE", "aws_secret_access_key": "s"}
        files = AwsFiles("aws-config", "aws-credentials", {"default": static}, {}, {})
        person = NameContext("ana", "laptop", lambda _: self.said.reason)
        planner = CallPlanner(config, files, {}, person, lambda saved: f"AKIA{saved}")
        return planner.call(config.profile(name))

    def get(self, name: str = "dev", started: Clocks | None = None, **how: Any) -> Credentials:
        return self.provider(started).get(self.call(name), **how)

    def log(self) -> str:
        return (self.place / "state/credhelper.log").read_text()

    def record(self) -> list[dict[str, Any]]:
        lines = (self.place / "state/audit.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


def refused(code: str = "AccessDenied") -> RefusedError:
    return RefusedError("not allowed", "a hint", code=code)
