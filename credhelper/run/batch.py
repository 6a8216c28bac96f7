"""Many accounts, a number at a time: for `exec --accounts` and for principals from stdin.

The source credentials are resolved once, and cached as usual. A session minted with them serves one account:
it is neither looked up nor stored in the keyring or the agent, and dropped when the account is done.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from credhelper import app as apps
from credhelper import expiry, processes
from credhelper.deadline import Deadline
from credhelper.errors import CredhelperError, InteractionError, SourceError, render
from credhelper.run import accounts, command, environment
from credhelper.run.capture import OUTPUT_LIMIT, Commands
from credhelper.sessions.consent import Permission
from credhelper.sessions.provider import STALE_SOURCE

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from credhelper.agent.client import CacheMode
    from credhelper.app import App
    from credhelper.config.profiles import Profile
    from credhelper.credentials import AccessKey, Credentials
    from credhelper.run.accounts import Account
    from credhelper.sessions.calls import StsCall
    from credhelper.sessions.minter import Minter

Target = TypeVar("Target")

GRACE: Final = 10.0
"""Seconds that running commands have to end by themselves after the first signal."""

HIDDEN: Final = b"***"
CUT: Final = f"it printed more than {OUTPUT_LIMIT // 1024 // 1024} MiB, and the rest is dropped"

_ENDING: Final = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
]


@dataclass(frozen=True)
class BatchResult:
    """What became of one account or principal: a line of JSON."""

    document: Mapping[str, Any]
    failed: bool

    def to_json(self) -> bytes:
        """The line."""
        return json.dumps(self.document).encode() + b"\n"


class Stop:
    """Ends a batch early: nothing more begins, and `forward` passes a signal's number to what is running.

    After a second signal, and after GRACE, it passes SIGKILL.
    """

    def __init__(self, forward: Callable[[int], None]) -> None:
        self.event = threading.Event()
        self._forward = forward

    def now(self, number: int) -> None:
        """Stop because of a signal."""
        again = self.event.is_set()
        self.event.set()
        self._forward(processes.KILL if again else number)
        if not again:
            timer = threading.Timer(GRACE, self._forward, [processes.KILL])
            timer.daemon = True
            timer.start()

    @contextlib.contextmanager
    def on_signals(self, report: Callable[[], None]) -> Iterator[None]:
        """Within the block, signals stop the batch and call `report`. For the main thread.

        Signals that were ignored stay ignored. A thread reads them, because a signal that comes just before
        the main thread begins to wait does not wake it.
        """
        numbers = {number for number in _ENDING if not processes.is_ignored(number)}
        with processes.CaughtSignals(numbers) as signals:
            threading.Thread(target=self._read, args=(signals, numbers, report), daemon=True).start()
            yield

    def _read(self, signals: socket.socket, numbers: set[int], report: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):  # closed at the end of the block
            while received := signals.recv(64):
                for number in numbers.intersection(received):
                    self.now(number)
                    report()


class _SourceKey:
    """The access key that signs every call of a batch: resolved once, and again when it expires."""

    def __init__(self, app: App, template: StsCall) -> None:
        self._app = app
        self._template = template
        self._lock = threading.Lock()
        self._key: AccessKey | None = None
        self._session: Credentials | None = None

    def get(self, rejected: AccessKey | None = None) -> AccessKey:
        """The key; a new one if STS has `rejected` this one. Raises CredhelperError."""
        with self._lock:
            if self._key is None or self._key == rejected:
                self._key = self._resolve("mint" if rejected else "get")
            elif self._session and not expiry.is_servable(self._session, expiry.read_clocks()):
                self._key = self._resolve("get")
            return self._key

    def _resolve(self, mode: CacheMode) -> AccessKey:
        """Resolve it with a deadline that counts from now. Only the first time may prompt."""
        start = apps.Invocation(time.monotonic(), background=self._key is not None)
        app = apps.open_app(self._app.environ, start, self._app.user_input)
        with contextlib.closing(app.agent):
            provider, parent = app.provider(), self._template.parent
            if parent is None:
                return provider.source_key(self._template)
            self._session = provider.get(parent, mode=mode)
            return self._session.access_key


class BatchRun:
    """One piece of work for each of many accounts, with sessions from any thread at a pace that STS bears.

    `plan` gives the call without its account, `forward` passes a signal to what is running, and an error of
    one of the `fatal` classes would hit every account: after it no other one is begun.
    """

    def __init__(
        self,
        app: App,
        plan: Callable[[], StsCall],
        forward: Callable[[int], None] = lambda _number: None,
        fatal: tuple[type[CredhelperError], ...] = (SourceError,),
    ) -> None:
        self.stop = Stop(forward)
        self.failure: CredhelperError | None = None
        """The fatal error."""
        self._app = app
        self._plan = plan
        self._fatal = fatal
        self._permission = Permission()

    @cached_property
    def _template(self) -> StsCall:
        return self._plan()

    @cached_property
    def _source(self) -> _SourceKey:
        return _SourceKey(self._app, self._template)

    @cached_property
    def _minter(self) -> Minter:
        from credhelper.aws.rate_limit import RateLimitedSts
        from credhelper.aws.sts import Sts

        sts = RateLimitedSts(Sts(self._app.environ, attempts=1), self.stop.event)
        return self._app.provider(sts=sts, deadline=Deadline(float("inf"))).minter

    def accounts(self, profile: Profile, wanted: Iterable[str], excluded: Iterable[str]) -> list[Account]:
        """The accounts that these options name; see `accounts.pick`. Raises CredhelperError."""
        return accounts.pick(self._app.config, profile, wanted, excluded, self._members)

    def _members(self) -> list[Account]:
        from credhelper.aws.services import Services

        services = Services(self._template.endpoint, self._template.source)
        return accounts.of_organization(services, self._source.get())

    def begin(self, chosen: Sequence[Account]) -> None:
        """Prompt once for all accounts, and resolve the source. Raises CredhelperError."""
        ids = ", ".join(account.id for account in chosen)
        profile = replace(self._template.profile, target_account=f"{len(chosen)} accounts: {ids}")
        prompting = self._app.provider(deadline=Deadline(apps.GET_SECONDS)).minter
        try:
            self._permission = prompting.permit(replace(self._template, profile=profile))
        except InteractionError as error:
            hint = "run it on a terminal, or say --yes, and --reason where the profile wants one"
            raise type(error)(error.sentence, hint) from None
        self._source.get()
        _ = self._minter  # before threads need it

    def call(self, account_id: str) -> StsCall:
        """The call for an account; nothing else differs within a batch. Raises ConfigError."""
        template = self._template
        profile = self._app.config.with_target(template.profile, account_id)
        parameters = {**template.parameters, "TargetPrincipal": account_id}
        return replace(template, profile=profile, parameters=parameters)

    def mint(self, call: StsCall) -> Credentials:
        """A session for one piece of work. Raises CredhelperError."""
        key = self._source.get()
        try:
            return self._minter.mint(call, key, self._permission)
        except CredhelperError as error:
            if error.code not in STALE_SOURCE:
                raise
        return self._minter.mint(call, self._source.get(rejected=key), self._permission)

    def note(self, error: CredhelperError) -> None:
        """Take note of an error of one target, which may be fatal for all."""
        if isinstance(error, self._fatal):
            self.failure = error

    def results(
        self, targets: Iterable[Target], work: Callable[[Target], BatchResult], jobs: int
    ) -> Generator[BatchResult, None, None]:
        """The result of `work` for each target, `jobs` at a time, each as soon as it is there.

        After a stop or a fatal error no target is begun, and those under way are waited for. Closing the
        generator stops the batch, and so does an exception of `work`.
        """

        def begin(target: Target) -> BatchResult | None:
            return None if self.stop.event.is_set() or self.failure else work(target)

        with ThreadPoolExecutor(jobs) as pool:
            try:
                for future in as_completed([pool.submit(begin, target) for target in targets]):
                    result = future.result()
                    if result is not None:
                        yield result
            except BaseException:
                self.stop.now(signal.SIGTERM)
                raise


class AccountCommands:
    """`exec --accounts`: a command in each account. Raises ConfigError, NotFoundError, NotExecutableError.

    What it prints is kept in memory until it ends, with the session's secrets replaced.
    """

    def __init__(self, app: App, profile: Profile, words: Sequence[str]) -> None:
        self._app = app
        self._words = words
        self._program = command.find(words, app.environ)
        self._commands = Commands()
        fatal = (SourceError, InteractionError, command.NotExecutableError)
        self.batch = BatchRun(app, lambda: app.call(profile), self._commands.end, fatal)

    def results(self, chosen: Sequence[Account], jobs: int) -> Generator[BatchResult, None, None]:
        """Prompt once, then run the command in each account; see `BatchRun.results`."""
        processes.close_memory()
        self.batch.begin(chosen)
        return self.batch.results(chosen, self._work, jobs)

    def _work(self, account: Account) -> BatchResult:
        began = time.monotonic()
        try:
            rc, stdout, stderr, error = self._run(account.id)
        except CredhelperError as failure:
            self.batch.note(failure)
            rc, stdout, stderr, error = failure.status, "", render(failure).decode(), failure.sentence
        document = {
            "account": account.id,
            "name": account.name,
            "rc": rc,
            "stdout": stdout,
            "stderr": stderr,
            "seconds": round(time.monotonic() - began, 3),
            "error": error,
        }
        return BatchResult(document, failed=rc != 0 or error is not None)

    def _run(self, account_id: str) -> tuple[int, str, str, str | None]:
        """Exit status, both outputs, and an error that is not the command's."""
        call = self.batch.call(account_id)
        credentials = self.batch.mint(call)
        environ = environment.environment_of(self._app, call, credentials)
        ran = self._commands.run(self._program, self._words, environ)
        interrupted = self.batch.stop.event.is_set() and ran.status != 0
        error = "interrupted" if interrupted else CUT if ran.cut else None
        return ran.status, _text(ran.stdout, credentials), _text(ran.stderr, credentials), error


def _text(output: bytes, credentials: Credentials) -> str:
    for secret in (credentials.secret_access_key, credentials.session_token):
        output = output.replace(secret.encode(), HIDDEN)
    return output.decode("utf-8", "backslashreplace")
