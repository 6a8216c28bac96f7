"""Both ends of the agent's socket: where it is, who may speak, what is said. Loaded by every `get`.

The socket is `agent-1.sock` in the runtime directory; 1 is the version of what follows. Each end closes the
connection unless the other one's uid is its own. The client speaks first: a line of words with a space
between them, at most 8 KiB with its newline, and the bytes that it announces.

    get KEY                what is cached under KEY while it is fresh, else the lease on it
    renew KEY              the same, but nothing that is to be refreshed by now
    mint KEY               the lease on it, whatever is cached
    put LEASE LENGTH ENDS BOOT_ENDS REFRESH FRESH SERVABLE OF LABEL
                           LENGTH bytes (at most 1 MiB) for all who wait, and to be cached
    fail LEASE STATUS LENGTH   LENGTH bytes and an exit status for all who wait; newcomers start afresh
    open LEASE             there is nothing to share: all who wait get a mint of their own
    drop LEASE             the lease passes to the next one who waits
    asking LEASE           a person is being asked: those who wait are told to be patient
    clear [WORD]...        forget what has one of these as KEY, OF, LABEL or LABEL up to its @; none: all
    status                 what is cached, as text
    stop                   forget everything and leave

KEY is the rest of its line and means nothing to the agent: a digest of an STS call, or a hit key (below).
OF names what an entry rests on, LABEL is the profile. ENDS is when the credential expires, on this machine's
wall clock; BOOT_ENDS the same on the clock since boot, or `-`. REFRESH, FRESH and SERVABLE are how many
seconds must be left for it to be handed out without a thought of the next one, handed out at all, handed
out where a mint does not come; `-` for REFRESH: never ahead. Each answer is a line `WORD NUMBER LENGTH` and
LENGTH bytes:

    hit 0 LENGTH           what is cached
    refresh 0 LENGTH       the same, and the client is asked to start a refresher
    mint LEASE LENGTH      the client holds the lease as long as it stays connected; LENGTH bytes that still
                           serve if minting fails, or none. LEASE is 0 where there is none to hold
    wait ASKING 0          somebody else holds the lease; said once a second until something better is.
                           ASKING is 1 while a person is being asked, 0 otherwise
    fail STATUS LENGTH     the holder failed
    ok NUMBER LENGTH       done. After put: 1 is kept, 0 is not, since it was cleared meanwhile. After asking:
                           how many wait

The first answer on a connection comes within 300 ms, and never 3 s pass without one; otherwise the client
goes on without the agent. A peer that has not sent a whole request in 5 s, holds no lease and does not wait
is hung up on.
"""

import os
import stat
import sys
import time

TYPE_CHECKING = False  # typing's own costs a hit 5 ms
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Final

NOT_HERE: "Final" = "there is no agent on Windows"
SOCKET: "Final" = "agent-1.sock"
LOCK: "Final" = "agent-1.lock"
"""Held by the agent for life; its process id is in it."""

LONGEST_LINE: "Final" = 8192
LARGEST_BODY: "Final" = 1024 * 1024
FIRST_ANSWER: "Final" = 0.3
SILENCE: "Final" = 3.0
STARTING: "Final" = 5.0
"""Seconds to wait for another caller that is starting the agent."""

PATIENCE: "Final" = 38.0
"""Seconds to wait for somebody else's mint: of the 50 s that `get` has, 12 are kept to mint by itself."""

MORE_PATIENCE: "Final" = 8.0
"""Seconds on top, while a person is being asked: they have 40, and the mint that follows is theirs."""

CANCELLED: "Final" = b"credhelper: error: cancelled while somebody was being asked\n"

RACY: "Final" = 2.0
"""A file that changed fewer seconds ago may change again without its times showing it (git's racy index)."""

CONTEXT: "Final" = (
    *("CREDHELPER_CONFIG", "CREDHELPER_KEYRING", "CREDHELPER_REASON", "HOME", "XDG_CONFIG_HOME"),
    *("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_REGION", "AWS_DEFAULT_REGION"),
    *("AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_CA_BUNDLE"),
    *("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT"),
)
"""The variables that an answer may depend on."""

NEVER_A_HIT: "Final" = frozenset(["--refresh", "--no-cache", "--help", "-h"])


class PendingRequest:
    """What a `get` brings along that the agent has not answered.

    `key` is its hit key, `lease` the number of the lease on it, `connection` what both are good for;
    `starting` is a descriptor that makes everybody else wait until we have started the agent, or closed it;
    `stuck` says that there is an agent which does not answer, or not to us.
    """

    __slots__ = ("connection", "key", "lease", "starting", "stuck")

    def __init__(
        self, connection: "Connection | None" = None, lease: int = 0, key: bytes | None = None
    ) -> None:
        self.key = key
        self.connection = connection
        self.lease = lease
        self.starting: int | None = None
        self.stuck = False


class Answer:
    """The agent's: an exit status, and the bytes for stdout where it is 0, for stderr otherwise."""

    __slots__ = ("body", "refresh", "status")

    def __init__(self, status: int, body: bytes, *, refresh: bool) -> None:
        self.status = status
        self.body = body
        self.refresh = refresh


def ask(arguments: "list[str]", environ: "Mapping[str, str]") -> Answer | PendingRequest:
    """Ask the agent for what `get` with these arguments prints. Never raises; without an answer, a ticket."""
    pending = PendingRequest()
    wanted = environ.get("CREDHELPER_AGENT", "auto") in ("auto", "") and not environ.get("CREDHELPER_CHAIN")
    if sys.platform == "win32" or not wanted or "--help" in arguments or "-h" in arguments:
        return pending
    try:
        directory = runtime_directory(environ)
        if directory is None:
            return pending
        pending.key = hit_key(arguments, environ)
        pending.connection, pending.starting = approach(directory, _wait_with_alarm)
        if pending.connection is None or pending.key is None:
            return pending
        word, number, body = pending.connection.ask(b"get %s\n" % pending.key, PATIENCE)
    except KeyboardInterrupt:
        if pending.connection is None or not pending.connection.is_asking:
            raise
        return Answer(5, CANCELLED, refresh=False)  # a terminal interrupts all who wait for one answer
    except (TimeoutError, PermissionError):
        pending.connection, pending.stuck = None, True
        return pending
    except (OSError, ValueError):  # it has gone, or never was: the ordinary path does without
        pending.connection = None
        return pending
    if word in ("hit", "refresh"):
        return Answer(0, body, refresh=word == "refresh")
    if word == "fail" and 0 < number < 256:
        return Answer(number, body, refresh=False)
    pending.lease = number if word == "mint" else 0
    return pending


def relay(answer: Answer) -> bool:
    """Write an answer as it came, and start a refresher if asked to; False where nothing went out."""
    if answer.status:
        _write(2, answer.body)
        return True
    written = _write(1, answer.body)
    if not written:
        return False
    while written < len(answer.body):  # a pipe that its owner has made non-blocking is full
        import select

        select.select([], [1], [])
        more = _write(1, answer.body[written:])
        written += more
        if not more:
            answer.status = 1
            _write(2, b"credhelper: error: cannot write the answer to stdout\n")
            break
    if answer.refresh:
        _send_refresher()
    return True


def _write(descriptor: int, content: bytes) -> int:
    """How much of it went out."""
    try:
        return os.write(descriptor, content)
    except OSError:
        return 0


def approach(directory: str, wait: "Callable[[int], None]") -> "tuple[Connection | None, int | None]":
    """A connection to the agent; without one, a descriptor if it is for this caller to start it.

    All others `wait` for a lock on that descriptor meanwhile. Raises OSError.
    """
    if sys.platform == "win32":
        raise OSError(NOT_HERE)
    connection = connect(directory)
    if connection is not None:
        return connection, None
    import fcntl

    starting = os.open(os.path.join(directory, "start.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(starting, 0o600)  # whatever the umask
        fcntl.flock(starting, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # it is being started
        try:
            wait(starting)
        finally:
            os.close(starting)
        return connect(directory), None
    try:
        connection = connect(directory)  # somebody may have been quicker
    except OSError:
        os.close(starting)  # nobody is to wait for us
        raise
    if connection is None:
        return None, starting
    os.close(starting)
    return connection, None


def _wait_with_alarm(descriptor: int) -> None:
    """Wait without a line of Python: in a herd it is the starter that should run."""
    if sys.platform == "win32":
        raise OSError(NOT_HERE)
    import _signal  # type: ignore[import-not-found]  # what signal wraps, without its enums
    import fcntl

    def give_up(*_: object) -> None:
        raise TimeoutError

    before = _signal.signal(_signal.SIGALRM, give_up)
    blocked = _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGALRM])
    try:
        _signal.setitimer(_signal.ITIMER_REAL, STARTING)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        finally:
            _signal.setitimer(_signal.ITIMER_REAL, 0)
    finally:
        _signal.signal(_signal.SIGALRM, before)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, blocked)


def connect(directory: str) -> "Connection | None":
    """A connection to the agent; None where nobody listens. Raises OSError: stuck, or somebody else's."""
    if sys.platform == "win32":
        raise OSError(NOT_HERE)
    import _socket

    peer = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    peer.settimeout(FIRST_ANSWER)
    try:
        peer.connect(os.path.join(directory, SOCKET))
        if uid_of(peer) != os.geteuid():
            raise PermissionError  # noqa: TRY301 - the handlers below close the socket
    except (FileNotFoundError, ConnectionRefusedError):
        peer.close()
        return None
    except BaseException:
        peer.close()
        raise
    return Connection(peer)


def uid_of(peer: "_socket.socket") -> int:
    """Whose process is at the other end, as the kernel knows it. Raises OSError."""
    if sys.platform == "win32":
        raise OSError(NOT_HERE)
    import _socket

    if sys.platform == "darwin":  # struct xucred: version, uid, ...
        return int.from_bytes(peer.getsockopt(0, 1, 76)[4:8], sys.byteorder)  # SOL_LOCAL, LOCAL_PEERCRED
    # struct ucred: pid, uid, gid
    return int.from_bytes(peer.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)[4:8], sys.byteorder)


class Connection:
    """The client's end. The leases that it is granted are its own for as long as it is open."""

    __slots__ = ("_peer", "_unread", "is_asking")

    def __init__(self, peer: "_socket.socket") -> None:
        self._peer = peer
        self._unread = b""
        self.is_asking = False  # somebody, for what we wait for

    def ask(self, request: bytes, patience: float = 0.0) -> "tuple[str, int, bytes]":
        """The answer's word, number and bytes. Raises OSError or ValueError: there is none in time."""
        ends = time.monotonic() + patience
        self._peer.sendall(request)
        while True:
            word, number, length = self._line().decode("ascii").split(" ")
            self._peer.settimeout(SILENCE)  # it is alive
            self.is_asking = word == "wait" and number == "1"
            if word != "wait":
                return word, int(number), self._take(int(length))
            if time.monotonic() > ends + (MORE_PATIENCE if self.is_asking else 0.0):
                raise TimeoutError

    def _line(self) -> bytes:
        while b"\n" not in self._unread:
            self._receive()
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _take(self, length: int) -> bytes:
        if not 0 <= length <= LARGEST_BODY:
            raise ValueError
        while len(self._unread) < length:
            self._receive()
        body, self._unread = self._unread[:length], self._unread[length:]
        return body

    def _receive(self) -> None:
        block = self._peer.recv(65536)
        if not block or len(self._unread) > LARGEST_BODY + LONGEST_LINE:
            raise ConnectionError
        self._unread += block

    def close(self) -> None:
        """Hang up: leases that are still held pass to others."""
        self._peer.close()


def hit_key(arguments: "Iterable[str]", environ: "Mapping[str, str]") -> bytes | None:
    """All that the answer to `get` with these arguments depends on, as one line; None: never a hit.

    It is compared, not understood. To be taken before any of the files is read.
    """
    arguments = list(arguments)
    files = configuration_files(environ)
    if files is None or not NEVER_A_HIT.isdisjoint(arguments):
        return None
    pieces = arguments
    for name in CONTEXT:
        value = environ.get(name)
        pieces.append("" if value is None else f"={value}")
    now = time.time()
    for path in files:
        stamp = _stamp(path, now)
        if stamp is None:
            return None
        pieces.append(stamp)
    key = os.fsencode("\0".join(pieces)).replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    return key if len(key) < LONGEST_LINE - 16 else None


def configuration_files(environ: "Mapping[str, str]") -> tuple[str, str, str] | None:
    """The files that decide an answer: ours, and the AWS SDK's two. None where finding them takes more.

    The first is where platformdirs has it; a caller for whom it has it elsewhere must not use its hit key.
    """
    ours = environ.get("CREDHELPER_CONFIG")
    if not ours:
        home = environ.get("XDG_CONFIG_HOME", "")
        if not os.path.isabs(home):
            home = "~/Library/Application Support" if sys.platform == "darwin" else "~/.config"
        ours = os.path.join(home, "credhelper", "config.toml")
    config = environ.get("AWS_CONFIG_FILE") or "~/.aws/config"
    credentials = environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    if "$" in config + credentials:
        return None
    return os.path.expanduser(ours), os.path.expanduser(config), os.path.expanduser(credentials)


def _stamp(path: str, now: float) -> str | None:
    """What changes whenever the file does; None where that cannot be relied on."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "-"
    except OSError:
        return None
    if max(status.st_mtime, status.st_ctime) > now - RACY:
        return None
    facts = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return " ".join(map(str, facts))


def _send_refresher() -> None:
    """Start this same command as `renew`, detached from everything that somebody may be waiting for."""
    if sys.platform == "win32":
        raise OSError(NOT_HERE)
    count = len(sys.argv) - 1
    if not sys.executable or os.fork():
        return
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(null, standard)
        close_inherited()
        interpreter = sys.orig_argv[1 : len(sys.orig_argv) - count]  # its options and the script
        os.execv(sys.executable, [sys.executable, *interpreter, "renew", *sys.argv[2:]])  # noqa: S606 - no shell
    finally:
        os._exit(127)


def close_inherited(kept: int = -1) -> None:
    """Close what we were started with: somebody may wait for its end."""
    for name in os.listdir("/dev/fd"):
        if int(name) > 2 and int(name) != kept:
            try:
                os.close(int(name))
            except OSError:
                pass  # the one that the list was read by


if sys.platform == "win32":

    def runtime_directory(environ: "Mapping[str, str]") -> str | None:
        """The directory, made if need be, in the part of the profile that is this user's on this machine."""
        local = environ.get("LOCALAPPDATA", "")
        if not os.path.isabs(local):
            return None
        path = os.path.join(local, "credhelper", "run")
        try:
            os.makedirs(path, exist_ok=True)
        except OSError:
            return None
        return path

else:

    def runtime_directory(environ: "Mapping[str, str]") -> str | None:
        """The directory, made if need be; None where no place qualifies."""
        for parent, name in _candidates(environ):
            path = os.path.join(parent, name)
            try:
                if _is_safe(parent) and _is_private(path):
                    return path
            except OSError:
                continue  # it is not there, or went away while we looked
        return None

    def _candidates(environ: "Mapping[str, str]") -> "Iterator[tuple[str, str]]":
        if sys.platform == "darwin":
            yield os.path.join(os.path.expanduser("~"), "Library", "Caches"), "credhelper"
            return
        declared = environ.get("XDG_RUNTIME_DIR", "")
        if os.path.isabs(declared):
            yield declared, "credhelper"
        uid = os.geteuid()
        yield f"/run/user/{uid}", "credhelper"
        yield "/tmp", f"credhelper-{uid}"  # noqa: S108 - its owner and mode are checked before it is used

    def _is_private(path: str) -> bool:
        """Make the directory 0700, or find it so: real, ours, closed to others. Raises OSError."""
        try:
            os.mkdir(path, 0o700)
            os.chmod(path, 0o700)  # whatever the umask
        except FileExistsError:
            pass
        status = os.lstat(path)
        return (
            stat.S_ISDIR(status.st_mode)
            and status.st_uid == os.geteuid()
            and stat.S_IMODE(status.st_mode) == 0o700
        )

    def _is_safe(parent: str) -> bool:
        """Whether nobody else can put another directory in the place of ours. Raises OSError.

        Somebody else's (XDG_RUNTIME_DIR under sudo) is not: they can, and ours would be litter there.
        """
        status = os.stat(parent)
        shared = bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
        sticky = bool(status.st_mode & stat.S_ISVTX)
        if status.st_uid == os.geteuid():
            return sticky or not shared
        return sticky and status.st_uid == 0
