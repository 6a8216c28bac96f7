"""`credhelper.get` and `credhelper.session`, in the process of a program that is not ours."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
import typing
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import boto3
import pytest

import credhelper
from credhelper import boto3_session, clocks, expiry
from credhelper.agent import in_process
from credhelper.aws.transport import LIBRARIES
from credhelper.config.keys import BY_NAME
from credhelper.credentials import Clocks
from credhelper.errors import BY_STATUS, render
from credhelper.sessions.provider import SessionProvider

import requirements
import sts_faults as faults
from clocks import Clock
from installing import build_wheel, installed_venv
from sandbox import PROFILES, agents_in
from sts import SOURCE_SECRET
from terminal import Terminal

MORE = """
[profiles.careful]
role_arn = "arn:aws:iam::222233334444:role/Careful"
confirm = true

[profiles.hop]
role_arn = "arn:aws:iam::222233334444:role/Hop"
source_profile = "developer"

[profiles.anywhere]
role_arn = "arn:aws:iam::222233334444:role/Anywhere"
source_profile = "nowhere"
"""


@pytest.fixture(name="sandbox")
def _sandbox(sandbox, monkeypatch):
    """The sandbox, whose environment this process uses."""
    sandbox.configure(PROFILES + MORE)
    for name, value in sandbox.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(in_process, "_by_process", {})
    return sandbox


def at_once(count, work):
    """The results or errors of threads that start at the same moment."""
    barrier = threading.Barrier(count)

    def run(_):
        barrier.wait()
        try:
            return work()
        except credhelper.CredhelperError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return [*pool.map(run, range(count))]


def host(sandbox, text):
    """The output of a program that imports credhelper; its stderr must be empty."""
    command = [sys.executable, "-W", "error", "-c", text]
    done = subprocess.run(
        command, env=sandbox.environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


class TestGet:
    def test_the_command_and_the_program_share_the_keyring(self, sandbox, sts, secret_service):
        os.environ["DBUS_SESSION_BUS_ADDRESS"] = sandbox.environ["DBUS_SESSION_BUS_ADDRESS"]
        envelope = sandbox.get("unlock-bucket")
        credentials = credhelper.get("unlock-bucket")
        assert json.loads(credentials.envelope()) == envelope
        assert credentials.access_key_id == envelope["AccessKeyId"]
        assert sts.count() == 1

    def test_the_command_and_the_program_share_a_running_agent(self, sandbox, sts, monkeypatch):
        with sandbox.use_agent():
            for name, value in sandbox.environ.items():
                monkeypatch.setenv(name, value)
            envelope = sandbox.get("developer")
            assert credhelper.get("developer").access_key_id == envelope["AccessKeyId"]
            assert in_process._by_process == {}
        assert sts.count() == 1

    def test_overrides_are_keys_of_a_profile_and_none_is_not_given(self, sandbox, sts):
        credentials = credhelper.get(
            "developer",
            duration_seconds=900,
            tags={"team": "blue"},
            policy_arns=("arn:aws:iam::aws:policy/ReadOnlyAccess",),
            external_id=None,
            role_session_name="me-{reason}",
            reason="4711",
        )
        (call,) = sts.calls
        assert credentials.life == pytest.approx(900, abs=2)
        assert call.parameters == {
            "RoleArn": "arn:aws:iam::222233334444:role/Developer",
            "RoleSessionName": "me-4711",
            "DurationSeconds": 900,
            "PolicyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}],
            "Tags": [{"Key": "team", "Value": "blue"}],
        }

    def test_without_keyring_and_agent_the_process_remembers_each_session(self, sandbox, sts):
        first = credhelper.get("hop")
        assert [credhelper.get("hop") for _ in range(5)] == [first] * 5
        credhelper.get("developer")
        assert sts.count() == 2
        assert credhelper.get("audit-root@payments-prod").account_id == "111122223333"

    def test_without_a_cache_each_request_mints(self, sandbox, sts):
        keys = {credhelper.get("developer", cache=False).access_key_id for _ in range(3)}
        assert len(keys) == sts.count() == 3

    def test_no_repr_shows_a_secret(self, sandbox, sts):
        credentials = credhelper.get("developer")
        assert credentials.secret_access_key.startswith(sts.secret_marker)
        assert sts.secret_marker not in f"{credentials!r}{credentials!s}{credhelper.session('developer')!r}"

    def test_the_audit_log_names_the_program_reason_and_confirmation(self, sandbox, monkeypatch):
        monkeypatch.setattr(sys, "argv", ["/opt/deploy.py"])
        credhelper.get("careful", reason="ticket 4711", yes=True)
        (line,) = sandbox.audit()
        assert (line["program"], line["program_pid"]) == ("deploy.py", os.getpid())
        assert line["reason"] == "ticket 4711"
        assert line["confirmed_by"].endswith(" by --yes")


class TestErrors:
    @pytest.mark.parametrize(
        ("name", "kind", "mode"),
        [
            ("develper", credhelper.ConfigError, faults.NORMAL),
            ("audit-root", credhelper.ConfigError, faults.NORMAL),
            ("anywhere", credhelper.SourceError, faults.NORMAL),
            ("developer", credhelper.RefusedError, faults.refuse("AccessDenied", "no \u202e")),
            ("careful", credhelper.InteractionError, faults.NORMAL),
            ("developer", credhelper.UnreachableError, faults.HTML_200),
        ],
    )
    def test_an_error_has_the_command_s_sentence_hints_and_status(self, sandbox, sts, name, kind, mode):
        sts.mode = mode
        said = sandbox.refuses(kind.status, "get", name)
        with pytest.raises(credhelper.CredhelperError) as caught:
            credhelper.get(name)
        assert isinstance(caught.value, kind)
        assert render(caught.value).decode() == said
        assert str(caught.value) in said
        assert str(caught.value).isascii()

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")
    def test_a_traceback_has_the_hints_once(self, sandbox):
        with pytest.raises(credhelper.ConfigError) as caught:
            credhelper.session("develper")
        assert caught.value.__notes__ == ["hint: did you mean 'developer'"]

    @pytest.mark.parametrize(
        ("overrides", "said", "hints"),
        [
            ({"role_anr": "x"}, "'role_anr' is not a key of a profile", ("did you mean 'role_arn'",)),
            ({"reasn": "x"}, "'reasn' is not a key of a profile", ("did you mean 'reason'",)),
            ({"duration_seconds": "900"}, "'duration_seconds' must be a whole number, not a string", ()),
            ({"tags": {1: "a"}}, "'tags' must be a table of strings, and a number is a key of it", ()),
            ({"region": Path("/")}, f"'region' must be a string, not {type(Path()).__name__}", ()),
            ({"policy_arns": iter(())}, "'policy_arns' must be an array of strings, not tuple_iterator", ()),
            ({"reason": 4711}, "'reason' must be a string, not a number", ()),
            ({"yes": "no"}, "'yes' must be true or false, not a string", ()),
            (
                {"duration_seconds": 60},
                "'--duration-seconds' must be 900 to 43200 seconds for AssumeRole, not 60",
                (),
            ),
        ],
    )
    @pytest.mark.parametrize("front", [credhelper.get, credhelper.session])
    def test_invalid_override_is_an_error_before_a_request(self, sandbox, sts, front, overrides, said, hints):
        with pytest.raises(credhelper.ConfigError) as caught:
            front("developer", **overrides)
        assert (str(caught.value), caught.value.hints) == (said, hints)
        assert sts.calls == []

    @pytest.mark.parametrize(("name", "kind"), [(None, "None"), (5, "a number"), (b"x", "bytes")])
    @pytest.mark.parametrize("front", [credhelper.get, credhelper.session])
    def test_a_name_that_is_no_string_is_an_error(self, sandbox, front, name, kind):
        with pytest.raises(credhelper.ConfigError) as caught:
            front(name)
        assert str(caught.value) == f"the name of a profile must be a string, not {kind}"


class TestMemory:
    def test_an_expired_session_is_dropped_by_the_next_request(self, sandbox, sts):
        credhelper.get("developer")
        shared = in_process._by_process[os.getpid()]
        assert len(shared.memory) == 1
        now = clocks.read()
        shared.memory._clock = lambda: clocks.Now(now.wall + 3600, None, now.steady + 3600)
        credhelper.get("unlock-bucket")
        assert len(shared.memory) == 0
        assert not shared.memory.is_busy

    def test_the_child_of_a_fork_begins_with_an_empty_memory(self, sandbox, sts):
        parents = in_process._by_process[os.getpid() + 1] = in_process._Shared()
        with parents.lock:
            credhelper.get("developer")
        assert list(in_process._by_process) == [os.getpid()]


class TestThreads:
    @pytest.mark.parametrize("profile", ["developer", "unlock-bucket", "hop"])
    def test_threads_mint_each_call_of_a_chain_once(self, sandbox, sts, profile):
        sts.script.append(faults.slow(0.5))
        answers = at_once(16, lambda: credhelper.get(profile))
        assert {answer.access_key_id for answer in answers} == {sts.issued[-1]["AccessKeyId"]}
        assert sts.count() == (2 if profile == "hop" else 1)

    def test_threads_mint_and_store_once(self, sandbox, sts, secret_service):
        os.environ["DBUS_SESSION_BUS_ADDRESS"] = sandbox.environ["DBUS_SESSION_BUS_ADDRESS"]
        at_once(16, lambda: credhelper.get("developer"))
        assert sandbox.get("developer")["AccessKeyId"] == sts.issued[0]["AccessKeyId"]
        assert sts.count() == 1

    def test_threads_with_a_session_each_share_one_mint(self, sandbox, sts):
        sts.script.append(faults.slow(0.5))
        arns = at_once(16, lambda: credhelper.session("developer").client("sts").get_caller_identity()["Arn"])
        assert len(set(arns)) == 1
        assert sts.count() == 1

    def test_threads_with_one_uncached_session_mint_once(self, sandbox, sts):
        client = credhelper.session("developer", cache=False).client("sts")
        at_once(16, client.get_caller_identity)
        assert sts.count() == 1

    @pytest.mark.parametrize("locks", [True, False], ids=["locks", "no place for locks"])
    def test_threads_share_one_refusal_and_a_later_request_asks_again(self, sandbox, sts, locks, monkeypatch):
        if not locks:
            monkeypatch.setattr("credhelper.wire.runtime_directory", lambda _: None)
            monkeypatch.setattr("credhelper.app._lock_directory", lambda *_: None)
        sts.mode = faults.Mode("slow", error=("AccessDenied", "no", 403), delay=0.5)
        answers = at_once(16, lambda: credhelper.get("developer"))
        assert {type(answer) for answer in answers} == {credhelper.RefusedError}
        assert sts.count() == 1
        sts.mode = faults.NORMAL
        assert credhelper.get("developer").account_id == "222233334444"

    def test_after_an_interruption_the_next_request_does_not_wait(self, sandbox, sts, monkeypatch):
        def interrupted(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(SessionProvider, "_read_or_mint", interrupted)
            with pytest.raises(KeyboardInterrupt):
                credhelper.get("developer")
        assert not any(shared.memory.is_busy for shared in in_process._by_process.values())
        credhelper.get("developer")


THIRTY_CALLS = """\
import sys
started = []
sys.addaudithook(lambda event, arguments: event in {events} and started.append(str(arguments[:2])))
import credhelper
session = credhelper.session("developer")
client = session.client("sts")
print(len({{client.get_caller_identity()["Arn"] for _ in range(30)}}), len(started), *started)
"""
STARTING = ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec", "os.spawn", "os.system")


class TestSession:
    def test_region_and_account_are_the_profile_s_despite_aws_profile(self, sandbox, sts, monkeypatch):
        monkeypatch.setenv("AWS_PROFILE", "nowhere")
        session = credhelper.session("unlock-bucket")
        credentials = session.get_credentials()
        assert isinstance(session, boto3.Session)
        assert session.region_name == "eu-west-1"
        assert credhelper.session("unlock-bucket", region="eu-central-1").region_name == "eu-central-1"
        assert sts.count() == 0  # nothing is minted before it is needed
        assert credentials is not None
        assert (credentials.method, credentials.account_id) == ("credhelper", "111122223333")
        assert credentials.get_frozen_credentials().access_key == sts.issued[0]["AccessKeyId"]
        assert session.client("sts").get_caller_identity()["Arn"] == "arn:aws:iam::111122223333:root"
        assert sts.count() == 1

    def test_thirty_calls_mint_once_and_start_no_process(self, sandbox, sts):
        assert host(sandbox, THIRTY_CALLS.format(events=STARTING)) == "1 0\n"
        assert sts.count() == 1

    def test_thirty_calls_start_no_agent_where_a_command_does(self, sandbox, sts):
        with sandbox.use_agent() as runtime:
            assert sandbox.environ["CREDHELPER_AGENT"] == "auto"
            assert host(sandbox, THIRTY_CALLS.format(events=STARTING)) == "1 0\n"
            assert agents_in(runtime) == []
            assert sts.count() == 1
            sandbox.get("developer")
            assert len(agents_in(runtime)) == 1

    def test_the_request_that_needs_credentials_raises_and_the_next_asks_again(self, sandbox, sts):
        client = credhelper.session("developer").client("sts")
        sts.mode = faults.refuse("AccessDenied", "no")
        with pytest.raises(credhelper.RefusedError, match="not allowed: sts:AssumeRole"):
            client.get_caller_identity()
        sts.mode = faults.NORMAL
        assert "Developer" in client.get_caller_identity()["Arn"]


ASKS_ON_DEMAND = """\
import sys, credhelper
clients = {name: credhelper.session(name).client("sts") for name in ("developer", "unlock-bucket")}
for line in sys.stdin:
    client = clients[line.strip()]
    try:
        for _ in range(5):
            client.get_caller_identity()
        print(client._request_signer._credentials.get_frozen_credentials().access_key, flush=True)
    except credhelper.CredhelperError as error:
        print(type(error).__name__, flush=True)
"""


@pytest.fixture
def uses(sandbox, sts, tmp_path):
    """The key that signed five requests of a program `at` seconds after its start, or its error."""
    requirements.faketime()
    sts.clock_skew_minutes = 10
    clock = Clock(tmp_path / "clock")
    with subprocess.Popen(
        [sys.executable, "-c", ASKS_ON_DEMAND],
        env={**sandbox.environ, **clock.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # botocore reports there what it cannot renew
        text=True,
    ) as process:

        def uses(profile, at):
            sts.clock_offset = at
            clock.jump(at)
            process.stdin.write(f"{profile}\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        yield uses


class TestTime:
    def test_a_session_of_an_hour_is_renewed_20_minutes_before_its_end(self, uses, sts):
        keys = [uses("developer", at=at) for at in (0, 2300, 2500, 2500 + 8 * 3600)]
        first, second, third = (issued["AccessKeyId"] for issued in sts.issued)
        assert keys == [first, first, second, third]

    def test_a_root_session_is_renewed_every_210_s_and_not_at_every_request(self, uses, sts):
        keys = [uses("unlock-bucket", at=at) for at in range(0, 900, 60)]
        assert len(set(keys)) == sts.count() == 4

    def test_during_an_outage_the_session_serves_and_sts_is_tried_every_30_s(self, uses, sts):
        first = uses("unlock-bucket", at=0)
        sts.mode = faults.refuse("ServiceUnavailable", "down", 503)
        tried = sts.count()
        assert {uses("unlock-bucket", at=at) for at in (250, 252, 254)} == {first}
        attempts = sts.count() - tried
        assert uses("unlock-bucket", at=290) == first
        assert sts.count() - tried == 2 * attempts
        assert uses("unlock-bucket", at=790) == first
        assert uses("unlock-bucket", at=850) == "UnreachableError"
        sts.mode = faults.NORMAL
        assert uses("unlock-bucket", at=860) == sts.issued[1]["AccessKeyId"]


class TestRenewal:
    def supply(self, wishes, *credentials):
        """A session that gets these credentials in turn, the last ones again and again."""
        given = iter(credentials)

        def answer(mode):
            wishes.append(mode)
            found = next(given, credentials[-1])
            return found, expiry.thresholds(found, expiry.read_clocks(), None, ahead=True, failed=False)

        return boto3_session.open_session(answer, None).get_credentials()

    def test_a_session_that_cannot_be_renewed_is_not_tried_at_every_request(self, sandbox):
        wishes: list[str] = []
        credentials = self.supply(wishes, minted(400))
        for _ in range(20):
            credentials.get_frozen_credentials()
        assert wishes == ["get"]

    def test_the_clock_since_boot_ends_a_session_although_the_wall_clock_was_set_back(self, sandbox):
        wishes: list[str] = []
        credentials = self.supply(wishes, replace(minted(3600), life=10.0), minted(900))
        with pytest.raises(RuntimeError, match="still expired"):
            credentials.get_frozen_credentials()
        credentials.get_frozen_credentials()
        assert wishes == ["get", "get"]


def minted(left):
    """Credentials of 900 s with `left` seconds remaining."""
    now = expiry.read_clocks()
    age = 900 - left
    then = Clocks(now.wall - age, None if now.boot is None else now.boot - max(age, 100), now.boot_id)
    return credhelper.Credentials("ASIA", "secret", "token", int(now.wall + left), 900.0, 0.0, then)


SURROUNDINGS = """\
import gc, locale, logging, os, signal, sys, threading, warnings
logging.basicConfig(level=logging.DEBUG, stream=open("{log}", "w"))

def surroundings():
    loggers = {{name: (logger.level, logger.disabled, logger.propagate, len(logger.handlers))
               for name, logger in logging.root.manager.loggerDict.items()
               if isinstance(logger, logging.Logger)}}
    umask = os.umask(0); os.umask(umask)
    return {{
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "timer": signal.getitimer(signal.ITIMER_REAL),
        "gc": (gc.isenabled(), gc.get_threshold()),
        "warnings": list(warnings.filters),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.displayhook),
        "root": (logging.root.level, logging.root.handlers, logging.root.manager.disable),
        "environ": dict(os.environ),
        "place": (os.getcwd(), umask, sys.path[:], sys.argv, locale.setlocale(locale.LC_ALL)),
        "descriptors": len(os.listdir("/proc/self/fd")),
    }}, loggers

import botocore.session, credhelper.app, filelock, platformdirs
before, loggers = surroundings()
credentials = credhelper.get("hop")
after, _ = surroundings()
changed = [(name, before[name], value) for name, value in after.items() if value != before[name]]
assert changed == [], changed
assert surroundings()[1].items() >= loggers.items()
assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
logging.getLogger("host").debug("its own from here")
logging.getLogger("botocore.parsers").debug("and what botocore logs for it")
"""


ASKS_A_PERSON = """\
import signal, threading, credhelper
before = signal.getsignal(signal.SIGINT)
def use(): print(credhelper.session("careful").client("sts").get_caller_identity()["Arn"])
use()
threads = [threading.Thread(target=use) for _ in range(15)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert signal.getsignal(signal.SIGINT) is before
"""

FORKS = """\
import os, threading, time, warnings, credhelper
from credhelper.agent import in_process
warnings.simplefilter("ignore")  # Python 3.12 warns of what is done here
credhelper.get("unlock-bucket")  # all is imported: no child survives a fork in the middle of an import
threading.Thread(target=lambda: credhelper.get("developer")).start()
while not any(shared.memory.is_busy for shared in list(in_process._by_process.values())):
    time.sleep(0.01)
child = os.fork()
began = time.monotonic()
credentials = credhelper.get("developer")
if not child:
    os._exit(0 if time.monotonic() - began < 20 else 1)
assert os.waitpid(child, 0)[1] == 0
print("both have it")
"""

RENEWS_AND_FORKS = """\
import os, threading, time, warnings, credhelper
warnings.simplefilter("ignore")  # Python 3.12 warns of what is done here
credhelper.session("unlock-bucket").get_credentials().get_frozen_credentials()  # all is imported
credentials = credhelper.session("developer").get_credentials()
threading.Thread(target=credentials.get_frozen_credentials).start()
while not credentials._refresh_lock.locked():
    time.sleep(0.01)
child = os.fork()
if not child:
    threading.Timer(20, lambda: os._exit(1)).start()
credentials.get_frozen_credentials()
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("both have it")
"""

LOGS_ALL = """\
import logging
class Shown(logging.Handler):
    def emit(self, record):
        if record.levelno < logging.INFO and record.name.split(".")[0] in {libraries}:
            print(record.name, record.getMessage()[:100])
logging.basicConfig(level=logging.DEBUG, handlers=[Shown()])
import credhelper
credhelper.get("hop")
"""

CLIENT = """\
import credhelper

credentials: credhelper.Credentials = credhelper.get("developer", duration_seconds=900, reason=None)
key: str = credentials.access_key_id
token: bytes = credentials.session_token  # wrong
reveal_type(credhelper.session("developer", tags={"team": "blue"}, cache="memory", yes=True))
try:
    credhelper.get("audit-root@payments-prod")
except credhelper.RefusedError as error:
    hints: tuple[str, ...] = error.hints
credhelper.session("developer", role_anr="x")  # wrong
credhelper.get("developer", duration_seconds="900")  # wrong
credhelper.sesion  # wrong
"""


class TestPrograms:
    def test_nothing_of_the_program_changes_and_nothing_is_printed(self, sandbox, sts, tmp_path):
        assert host(sandbox, SURROUNDINGS.format(log=tmp_path / "log")) == ""
        log = (tmp_path / "log").read_text()
        for secret in (sts.secret_marker, SOURCE_SECRET, *(keys["SessionToken"] for keys in sts.issued)):
            assert secret not in log
        assert re.findall("DEBUG:botocore.parsers:(.*)", log) == ["and what botocore logs for it"]

    def test_the_program_s_debug_log_has_its_own_responses_only(self, sandbox, sts, caplog):
        caplog.set_level(logging.DEBUG)
        caplog.set_level(logging.DEBUG, "botocore.parsers")
        sts.script.append(faults.slow(0.5))
        keys = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": SOURCE_SECRET}
        theirs = boto3.Session(**keys, region_name="eu-west-1").client("sts")
        ours = threading.Thread(target=lambda: credhelper.get("developer"))
        ours.start()
        theirs.get_caller_identity()
        ours.join()
        answers = [record for record in caplog.records if record.getMessage().startswith("Response body")]
        assert len(answers) == 1
        assert "GetCallerIdentityResponse" in answers[0].getMessage()
        assert sts.secret_marker not in caplog.text

    @pytest.mark.parametrize("program", [FORKS, RENEWS_AND_FORKS], ids=["mint", "renewal"])
    def test_a_fork_during_a_mint_or_renewal_does_not_block_the_child(self, sandbox, sts, program):
        sts.script.extend([faults.NORMAL, faults.slow(1)])
        assert host(sandbox, program) == "both have it\n"

    def test_botocore_s_debug_log_stays_empty(self, sandbox, sts):
        assert host(sandbox, LOGS_ALL.format(libraries=LIBRARIES)) == ""
        assert sts.count() == 2


ROOT = Path(__file__).parents[2]
EXAMPLES = [
    block
    for name in ("README.md", "docs/python.md")
    for block in re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
]


class TestDocuments:
    @pytest.mark.parametrize("example", EXAMPLES)
    def test_the_examples_of_the_documents_run(self, sandbox, example):
        host(sandbox, example)

    def test_all_examples_are_found(self):
        assert len(EXAMPLES) == 4

    def test_the_table_of_exceptions_matches_the_classes(self):
        text = (ROOT / "docs/python.md").read_text()
        table = dict(re.findall(r"^\| `(\w+Error)` \|.*\| (\d) \|$", text, re.MULTILINE))
        assert table == {kind.__name__: str(status) for status, kind in BY_STATUS.items()}


class TestPrompts:
    def test_threads_prompt_once_with_the_program_s_name_and_keep_its_signals(self, sandbox, sts):
        program = f"import sys; sys.argv = ['deploy.py']\n{ASKS_A_PERSON}"
        terminal = Terminal(sandbox, [sys.executable, "-c", program])
        assert "requested by deploy.py" in terminal.sees(r"(?s)asks for your confirmation.*\?").group()
        terminal.types("yes\n")
        status, shown = terminal.leaves()
        assert status == 0, shown
        assert shown.count("assumed-role/Careful") == 16
        assert sts.count() == 1


class TestTypes:
    def test_mypy_accepts_a_right_client_and_finds_the_wrong_lines(self, tmp_path):
        venv = installed_venv(build_wheel(tmp_path), tmp_path / "venv")
        client = tmp_path / "client.py"
        client.write_text(CLIENT)
        flags = ["--strict", "--no-error-summary", "--python-executable", str(venv / "bin/python")]
        command = [sys.executable, "-m", "mypy", *flags, client.name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        wrong = [number for number, line in enumerate(CLIENT.splitlines(), 1) if "# wrong" in line]
        assert re.findall(r"^client\.py:(\d+): error: ", done.stdout, re.MULTILINE) == [str(n) for n in wrong]
        assert 'did you mean "role_arn"' in done.stdout
        assert 'Revealed type is "boto3.session.Session"' in done.stdout

    def test_the_overrides_match_the_table_of_keys(self):
        python = {
            "text": str,
            "number": int,
            "boolean": bool,
            "boolean or text": bool | str,
            "texts": Sequence[str],
            "table": Mapping[str, str],
            "tables": Sequence[Mapping[str, str]],
        }
        known: dict[str, Any] = {name: python[key.form] for name, key in BY_NAME.items()}
        known["credential_source"] = Literal["Environment", "Ec2InstanceMetadata", "EcsContainer"]
        known["cache"] = bool | Literal["memory"]
        known |= {"reason": str, "yes": bool}
        hints = {name: kind | None for name, kind in known.items()}
        assert typing.get_type_hints(credhelper.Overrides) == hints

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="typing has no Unpack")
    def test_type_hints_are_there_at_run_time(self):
        hints = typing.get_type_hints(credhelper.get)
        assert hints["return"] is credhelper.Credentials
        assert hints["overrides"] == typing.Unpack[credhelper.Overrides]

    def test_the_package_has_its_public_names_and_no_others(self):
        assert set(credhelper.__all__) <= set(dir(credhelper))
        for name in credhelper.__all__:
            assert getattr(credhelper, name).__name__ == name
        with pytest.raises(AttributeError, match="module 'credhelper' has no attribute 'sesion'"):
            credhelper.sesion  # noqa: B018 - it is looked up

    def test_importing_the_package_loads_nothing_else(self, sandbox):
        loaded = "import sys; before = {*sys.modules}; import credhelper; print({*sys.modules} - before); "
        shown = host(sandbox, f"{loaded}credhelper.get; print('boto3' in sys.modules)")
        assert shown == "{'credhelper'}\nFalse\n"
