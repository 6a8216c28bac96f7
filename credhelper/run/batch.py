"""The same for many accounts: so many at a time, results as they come, and a clean end.

The source credentials are resolved once, and cached as always. What is minted with them is for one account's
turn alone: neither the keyring nor the agent is asked or told, and it is dropped when the turn is over.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from credhelper import app, expiry
from credhelper.aws.rate_limit import Paced
from credhelper.deadline import Deadline
from credhelper.errors import CredhelperError, HumanNeededError
from credhelper.run import accounts
from credhelper.run.capture import KILL
from credhelper.sessions.consent import Permission
from credhelper.sessions.provider import STALE_SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from credhelper.agent.client import CacheMode
    from credhelper.app import App
    from credhelper.credentials import AccessKey, Credentials
    from credhelper.run.accounts import Account
    from credhelper.sessions.calls import StsCall

Target = TypeVar("Target")
Result = TypeVar("Result")

GRACE: Final = 10.0
"""Seconds that what is under way has to end by itself once the sweep is to stop."""


_ENDING: Final = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
]
"""The signals by which somebody wants us to end."""


class Stop:
    """How a sweep ends early: nothing more begins, and `tell` gives those under way a signal's number.

    The second time they are killed, and after GRACE too.
    """

    def __init__(self, tell: Callable[[int], None]) -> None:
        self.event = threading.Event()
        self._tell = tell

    def now(self, number: int) -> None:
        """Stop."""
        again = self.event.is_set()
        self.event.set()
        self._tell(KILL if again else number)
        if not again:
            timer = threading.Timer(GRACE, self._tell, [KILL])
            timer.daemon = True
            timer.start()

    @contextlib.contextmanager
    def on_signals(self, say: Callable[[], None]) -> Iterator[None]:
        """Stop, and `say` so, when somebody wants us to end; what was ignored stays so. For the main thread.

        A signal that comes just before the main thread begins to wait does not wake it. So another thread
        reads the numbers, which the interpreter writes down at once.
        """
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        heeded = {number for number in _ENDING if signal.getsignal(number) != signal.SIG_IGN}
        before = {number: signal.signal(number, lambda *_: None) for number in heeded}
        wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._heed, args=(reader, heeded, say), daemon=True).start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            writer.close()

    def _heed(self, reader: socket.socket, heeded: set[int], say: Callable[[], None]) -> None:
        with reader:
            while numbers := reader.recv(64):
                for number in heeded.intersection(numbers):
                    self.now(number)
                    say()


def each(
    targets: Iterable[Target], work: Callable[[Target], Result | None], jobs: int, stop: Stop
) -> Generator[Result, None, None]:
    """What `work` makes of each target, `jobs` at a time at most, in the order in which they are done.

    After a stop no target is begun, and those that are under way are waited for. Work that has nothing to say
    returns None. Whoever leaves before the end, or work that raises, stops the sweep.
    """

    def begin(target: Target) -> Result | None:
        return None if stop.event.is_set() else work(target)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for future in as_completed([pool.submit(begin, target) for target in targets]):
                result = future.result()
                if result is not None:
                    yield result
        except BaseException:
            stop.now(signal.SIGTERM)
            raise


class Source:
    """The keys that sign all calls of a sweep: resolved by one thread for all, and again when they expire."""

    def __init__(self, opened: App, template: StsCall) -> None:
        self._opened = opened
        self._template = template
        self._lock = threading.Lock()
        self._access_key: AccessKey | None = None
        self._session: Credentials | None = None

    def access_key(self, gone: AccessKey | None = None) -> AccessKey:
        """The keys; new ones where STS says that these are `gone`. Raises CredhelperError."""
        with self._lock:
            if self._access_key is None or self._access_key == gone:
                self._access_key = self._resolve("mint" if gone else "get")
            elif self._session and not expiry.is_servable(self._session, expiry.read_clocks()):
                self._access_key = self._resolve("get")
            return self._access_key

    def _resolve(self, mode: CacheMode) -> AccessKey:
        """In a house of its own, whose deadline counts from now. Who has begun already asks nobody."""
        start = app.Invocation(time.monotonic(), background=self._access_key is not None)
        newly = app.open_app(self._opened.environ, start, self._opened.user_input)
        with contextlib.closing(newly.agent):
            provider, parent = newly.provider(), self._template.parent
            if parent is None:
                return provider.source_key(self._template)
            self._session = provider.get(parent, mode=mode)
            return self._session.access_key


class Sessions:
    """Sessions for accounts of one open profile, minted by any thread at the pace that STS bears."""

    def __init__(self, opened: App, template: StsCall, stop: Stop) -> None:
        from credhelper.aws.sts import Sts

        self._opened = opened
        self._template = template
        self._source = Source(opened, template)
        paced = Paced(Sts(opened.environ, attempts=1), stop.event)
        self._minter = opened.provider(sts=paced, deadline=Deadline(float("inf"))).minter
        self._permission = Permission()

    def open(self, chosen: Sequence[Account]) -> None:
        """Have a person say once what has to be said, and resolve the source. Raises CredhelperError."""
        ids = ", ".join(account.id for account in chosen)
        profile = replace(self._template.profile, target_account=f"{len(chosen)} accounts: {ids}")
        minter = self._opened.provider(deadline=Deadline(app.GET_SECONDS)).minter
        try:
            self._permission = minter.permit(replace(self._template, profile=profile))
        except HumanNeededError as error:
            hint = "run it on a terminal, or say --yes, and --reason where the profile wants one"
            raise type(error)(error.sentence, hint) from None
        self._source.access_key()

    def members(self) -> list[Account]:
        """The accounts of the source's organization. Raises CredhelperError."""
        from credhelper.aws.services import Services

        services = Services(self._template.endpoint, self._template.source)
        return accounts.of_organization(services, self._source.access_key())

    def call(self, account_id: str) -> StsCall:
        """The call for an account; those of a sweep differ in nothing else. Raises ConfigError."""
        template = self._template
        profile = self._opened.config.aim(template.profile, account_id)
        parameters = {**template.parameters, "TargetPrincipal": account_id}
        return replace(template, profile=profile, parameters=parameters)

    def mint(self, call: StsCall) -> Credentials:
        """A session that nobody else gets. Raises CredhelperError."""
        access_key = self._source.access_key()
        try:
            return self._minter.mint(call, access_key, self._permission)
        except CredhelperError as error:
            if error.code not in STALE_SOURCE:
                raise
        return self._minter.mint(call, self._source.access_key(gone=access_key), self._permission)
