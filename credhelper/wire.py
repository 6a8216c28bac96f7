"""The client's end of the agent's socket: where it is, who may answer, and what a request depends on.

Every `get` loads this module, so it imports nothing that a bare interpreter lacks but `os` and `_socket`. The
protocol is in `agent/__init__.py`: 1 in `agent-1.sock` is its version.
"""

import os
import stat
import sys
import time

TYPE_CHECKING = False  # typing's own costs a hit 5 ms
if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Final

NOT_HERE: "Final" = "there is no agent on Windows"
SOCKET: "Final" = "agent-1.sock"
LOCK: "Final" = "agent-1.lock"
"""Held by the agent for life; its process id is in it."""

LONGEST_LINE: "Final" = 8192
LARGEST_BODY: "Final" = 1024 * 1024
FIRST_ANSWER: "Final" = 0.3
SILENCE: "Final" = 3.0
PATIENCE: "Final" = 38.0
"""Seconds to wait for another caller's mint: of the 50 s that `get` has, 12 are left to mint by itself."""

MORE_PATIENCE: "Final" = 8.0
"""Seconds on top while the user is being prompted: a prompt has 40 s, and the mint follows it."""

CANCELLED: "Final" = b"credhelper: error: cancelled during a prompt\n"

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
    """A `get` that the agent has not answered: its hit key, and the lease on it, valid on `connection`.

    `starting` is the start lock, held if this caller is to start the agent. `stuck` means that an agent
    exists and does not answer, or belongs to another user.
    """

    __slots__ = ("connection", "key", "lease", "starting", "stuck")

    def __init__(
        self, connection: "Connection | None" = None, lease: int = 0, key: bytes | None = None
    ) -> None:
        self.connection = connection
        self.lease = lease
        self.key = key
        self.starting: int | None = None
        self.stuck = False


class Answer:
    """The agent's answer: an exit status, and the bytes for stdout if it is 0, else for stderr."""

    __slots__ = ("body", "refresh", "status")

    def __init__(self, status: int, body: bytes, *, refresh: bool) -> None:
        self.status = status
        self.body = body
        self.refresh = refresh


def ask(arguments: "list[str]", environ: "Mapping[str, str]") -> Answer | PendingRequest:
    """What `get` with these arguments prints, from the agent; else the open request. Raises nothing."""
    pending = PendingRequest()
    wanted = environ.get("CREDHELPER_AGENT", "auto") in ("auto", "") and not environ.get("CREDHELPER_CHAIN")
    if sys.platform == "win32" or not wanted or "--help" in arguments or "-h" in arguments:
        return pending
    try:
        directory = runtime_directory(environ)
        if directory is None:
            return pending
        pending.key = hit_key(arguments, environ)
        pending.connection, pending.starting = approach(directory)
        if pending.connection is None or pending.key is None:
            return pending
        word, number, body = pending.connection.ask(b"get %s\n" % pending.key, PATIENCE)
    except KeyboardInterrupt:
        if pending.connection is None or not pending.connection.is_asking:
            raise
        return Answer(5, CANCELLED, refresh=False)  # Ctrl-C reaches every caller in the terminal
    except (OSError, ValueError) as error:
        pending.connection, pending.stuck = None, isinstance(error, (TimeoutError, PermissionError))
        return pending
    if word in ("hit", "refresh"):
        return Answer(0, body, refresh=word == "refresh")
    if word == "fail" and 0 < number < 256:
        return Answer(number, body, refresh=False)
    pending.lease = number if word == "mint" else 0
    return pending


def relay(answer: Answer) -> bool:
    """Write an answer, and start a refresher if the agent asks for one; False: nothing was written."""
    if answer.status:
        _write(2, answer.body)
        return True
    written = _write(1, answer.body)
    if not written:
        return False
    while written < len(answer.body):  # a full pipe that does not block
        import select

        select.select([], [1], [])
        more = _write(1, answer.body[written:])
        written += more
        if not more:
            answer.status = 1
            _write(2, b"credhelper: error: cannot write the answer to stdout\n")
            break
    if answer.refresh:
        from credhelper import processes

        processes.send_refresher()
    return True


def _write(descriptor: int, content: bytes) -> int:
    """The number of bytes written."""
    try:
        return os.write(descriptor, content)
    except OSError:
        return 0


def approach(directory: str) -> "tuple[Connection | None, int | None]":
    """A connection to the agent; else the start lock, if this caller is to start it. Raises OSError."""
    connection = connect(directory)
    if connection is not None:
        return connection, None
    from credhelper import processes

    starting = processes.take_start_lock(directory)
    if starting is None:
        return connect(directory), None
    try:
        connection = connect(directory)  # another caller may have been quicker
    except OSError:
        os.close(starting)
        raise
    if connection is None:
        return None, starting
    os.close(starting)
    return connection, None


def connect(directory: str) -> "Connection | None":
    """A connection to the agent; None if none listens. Raises OSError: stuck, or another user's."""
    if sys.platform == "win32":
        raise OSError(NOT_HERE)
    import _socket

    peer = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    peer.settimeout(FIRST_ANSWER)
    try:
        peer.connect(os.path.join(directory, SOCKET))
        if uid_of(peer) != os.geteuid():
            raise PermissionError  # noqa: TRY301 - the handler below closes the socket
    except BaseException as error:
        peer.close()
        if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
            return None
        raise
    return Connection(peer)


def uid_of(peer: "_socket.socket") -> int:
    """The user id of the process at the other end, from the kernel. Raises OSError."""
    if sys.platform == "win32":
        raise OSError(NOT_HERE)
    import _socket

    if sys.platform == "darwin":  # struct xucred: version, uid, ...
        found = peer.getsockopt(0, 1, 76)  # SOL_LOCAL, LOCAL_PEERCRED
    else:  # struct ucred: pid, uid, gid
        found = peer.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    return int.from_bytes(found[4:8], sys.byteorder)


class Connection:
    """A connection to the agent. It holds the leases that are granted on it until it is closed."""

    __slots__ = ("_peer", "_unread", "is_asking")

    def __init__(self, peer: "_socket.socket") -> None:
        self._peer = peer
        self._unread = b""
        self.is_asking = False  # whether the holder that this caller waits for is prompting the user

    def ask(self, request: bytes, patience: float = 0.0) -> "tuple[str, int, bytes]":
        """The answer's word, number and bytes. Raises OSError or ValueError if there is none in time."""
        ends = time.monotonic() + patience
        self._peer.sendall(request)
        while True:
            word, number, length = self._line().decode("ascii").split(" ")
            self._peer.settimeout(SILENCE)
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
        """Close the connection; leases that are still held pass to other callers."""
        self._peer.close()


def hit_key(arguments: "Iterable[str]", environ: "Mapping[str, str]") -> bytes | None:
    """What the answer to `get` with these arguments depends on, as one line; None: never a hit.

    The agent only compares it. Compute it before any of the files is read.
    """
    pieces = list(arguments)
    files = configuration_files(environ)
    if files is None or not NEVER_A_HIT.isdisjoint(pieces):
        return None
    pieces += [f"={environ[name]}" if name in environ else "" for name in CONTEXT]
    now = time.time()
    for path in files:
        stamp = _stamp(path, now)
        if stamp is None:
            return None
        pieces.append(stamp)
    key = os.fsencode("\0".join(pieces)).replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    return key if len(key) < LONGEST_LINE - 16 else None


def configuration_files(environ: "Mapping[str, str]") -> tuple[str, str, str] | None:
    """config.toml and the AWS SDK's two files; None where a path has a variable, which the SDK expands.

    config.toml where platformdirs has it; if it has another place for a caller, its hit key is not used.
    """
    config_toml = environ.get("CREDHELPER_CONFIG")
    if not config_toml:
        home = environ.get("XDG_CONFIG_HOME", "")
        if not os.path.isabs(home):
            home = "~/Library/Application Support" if sys.platform == "darwin" else "~/.config"
        config_toml = os.path.join(home, "credhelper", "config.toml")
    config = environ.get("AWS_CONFIG_FILE") or "~/.aws/config"
    credentials = environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    if "$" in config + credentials:
        return None
    expand = os.path.expanduser
    return expand(config_toml), expand(config), expand(credentials)


def _stamp(path: str, now: float) -> str | None:
    """The file's identity and times; None where a change may not show in them."""
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


def runtime_directory(environ: "Mapping[str, str]") -> str | None:
    """The directory of the agent's socket and of locks, made if need be; None where no place qualifies."""
    for parent, name in _candidates(environ):
        path = os.path.join(parent, name)
        try:
            if sys.platform == "win32":
                os.makedirs(path, exist_ok=True)
                qualifies = True
            else:
                qualifies = _is_safe(parent) and _is_private(path)
            if qualifies:
                return path
        except OSError:
            continue  # it does not exist, or was removed meanwhile
    return None


def _candidates(environ: "Mapping[str, str]") -> "Iterator[tuple[str, str]]":
    if sys.platform == "win32":  # where the profile is closed to other users
        local = environ.get("LOCALAPPDATA", "")
        if os.path.isabs(local):
            yield os.path.join(local, "credhelper"), "run"
        return
    if sys.platform == "darwin":
        yield os.path.join(os.path.expanduser("~"), "Library", "Caches"), "credhelper"
        return
    declared = environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(declared):
        yield declared, "credhelper"
    uid = os.geteuid()
    yield f"/run/user/{uid}", "credhelper"
    yield "/tmp", f"credhelper-{uid}"  # noqa: S108 - its owner and mode are checked before it is used


if sys.platform != "win32":

    def _is_private(path: str) -> bool:
        """Whether it is a real directory of this user, 0700; made so if it does not exist. Raises OSError."""
        try:
            os.mkdir(path, 0o700)
            os.chmod(path, 0o700)  # whatever the umask
        except FileExistsError:
            pass
        status = os.lstat(path)
        return status.st_mode == stat.S_IFDIR | 0o700 and status.st_uid == os.geteuid()

    def _is_safe(parent: str) -> bool:
        """Whether no other user can replace a directory in it, as under sudo. Raises OSError."""
        status = os.stat(parent)
        if status.st_mode & stat.S_ISVTX:
            return status.st_uid in (os.geteuid(), 0)
        return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
