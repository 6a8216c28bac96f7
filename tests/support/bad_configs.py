"""Configurations that are refused, and what has to be said about each: a table for several tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HERE: Final = "# <-- here"
"""Marks the line that the sentence has to name."""

ACCOUNTS: Final = '[accounts]\npayments-prod = "111122223333"\n'
ROLE: Final = 'role_arn = "arn:aws:iam::222233334444:role/Developer"'
TASK: Final = 'task_policy_arn = "S3UnlockBucketPolicy"'
CHINA: Final = 'region = "cn-north-1"'
FIFTY_ONE: Final = ", ".join(f'k{number} = ""' for number in range(51))
DEVICE: Final = 'mfa_serial = "arn:aws:iam::999988887777:mfa/me"'


@dataclass(frozen=True)
class Bad:
    """A file, the profile that is asked for, the words of the answer; whether the schema says no, too."""

    name: str
    text: str | bytes
    words: tuple[str, ...]
    asked: str = "x"
    schema: bool = True

    @property
    def content(self) -> bytes:
        """The file."""
        return self.text if isinstance(self.text, bytes) else self.text.encode()

    @property
    def line(self) -> int | None:
        """The line that the sentence has to name."""
        before, found, _ = self.content.partition(HERE.encode())
        return before.count(b"\n") + 1 if found else None


def profile(*lines: str) -> str:
    """A file with the profile 'x', of which the last line is at fault."""
    return "\n".join([f"{ACCOUNTS}[defaults]", "# nothing", "[profiles.x]", *lines]) + f"  {HERE}\n"


def role(line: str) -> str:
    """A file with an AssumeRole profile."""
    return profile(ROLE, line)


def root(line: str) -> str:
    """A file with an AssumeRoot profile."""
    return profile(TASK, line)


def session(line: str) -> str:
    """A file with a GetSessionToken profile."""
    return profile(DEVICE, 'source_profile = "me"', line)


def in_x(key: str, *words: str) -> tuple[str, ...]:
    """The words about a key of the profile 'x'."""
    return (f"'{key}' in [profiles.x] ", *words)


KEYS: Final = (
    Bad("unknown key", role("colour = 1"), in_x("colour", "is not a known key")),
    Bad("misspelt key", role('external_ids = "abc"'), in_x("external_ids", "did you mean 'external_id'")),
    Bad(
        "name with a dot, not quoted",
        f"[profiles.x]\n{ROLE}\n[profiles.x.admin] {HERE}\n{ROLE}\n",
        in_x("admin", "is not a known key", '[profiles."a.b"]'),
    ),
    Bad("key of [keyring]", f"[keyring]\ntimeouts = 3 {HERE}\n", ("'timeouts' in [keyring] is not a known",)),
    Bad(
        "key of [agent]",
        f'[agent]\nmode = "on" {HERE}\n',
        ("'mode' in [agent] must be one of 'auto', 'off'",),
    ),
    Bad(
        "key of [audit]", f"[audit]\nrequired = 1 {HERE}\n", ("'required' in [audit] must be true or false",)
    ),
    Bad("backend", f'[keyring]\nbackend = "a b" {HERE}\n', ("'backend' in [keyring] has a value", "'a b'")),
    Bad("unknown table", f"[profils.x] {HERE}\n{ROLE}\n", ("'profils' is not a known table", "'profiles'")),
    Bad(
        "key outside tables", f'source_profile = "me" {HERE}\n', (": 'source_profile' is not a known table",)
    ),
    Bad("number for text", role("external_id = 12"), in_x("external_id", "must be a string, not a number")),
    Bad("date for text", role("region = 2026-11-22"), in_x("region", "must be a string, not a date or time")),
    Bad("table for text", role("region = { a = 1 }"), in_x("region", "must be a string, not a table")),
    Bad("text for number", role('duration_seconds = "900"'), in_x("duration_seconds", "not a string")),
    Bad(
        "fraction", role("duration_seconds = 900.5"), in_x("duration_seconds", "not a floating-point number")
    ),
    Bad("boolean for number", role("connect_timeout = true"), in_x("connect_timeout", "not true or false")),
    Bad("not a number", role("read_timeout = nan"), in_x("read_timeout", "must be a whole number")),
    Bad("text for boolean", role('mfa_session = "true"'), in_x("mfa_session", "must be true or false")),
    Bad("number for boolean", role("confirm = 1"), in_x("confirm", "must be true or false, not a number")),
    Bad("cache", role('cache = "disk"'), in_x("cache", 'must be one of true, "memory", false')),
    Bad("number for cache", role("cache = 1"), in_x("cache", 'must be one of true, "memory", false')),
    Bad("reason", role("require_reason = [1]"), in_x("require_reason", "must be true, false or a string")),
    Bad("text for texts", role('policy_arns = "arn"'), in_x("policy_arns", "must be an array of strings")),
    Bad("number in texts", role('mfa_command = ["a", 1]'), in_x("mfa_command", "and a number is in it")),
    Bad("no texts", role("policy_arns = []"), in_x("policy_arns", "must be at least 1 entries, not 0")),
    Bad("text for table", role('tags = "a=b"'), in_x("tags", "must be a table of strings, not a string")),
    Bad("number in table", role("tags = { a = 1 }"), in_x("tags", "and 'a' is a number")),
    Bad("tag without key", role('tags = { "" = "v" }'), in_x("tags", "1 to 128")),
    Bad("long tag", role(f'tags = {{ a = "{"v" * 257}" }}'), in_x("tags", "at most 256 characters")),
    Bad("51 tags", role(f"tags = {{ {FIFTY_ONE} }}"), in_x("tags", "must be at most 50 entries, not 51")),
    Bad("context", role("provided_contexts = [{}]"), in_x("provided_contexts", "ProviderArn and Context")),
    Bad("contexts", role("provided_contexts = 1"), in_x("provided_contexts", "must be an array of tables")),
    Bad("source", role('credential_source = "Ec2"'), in_x("credential_source", "'Ec2InstanceMetadata'")),
    Bad("saved key", role('source_key = "a b"'), in_x("source_key", "has a value that does not fit")),
    Bad("role ARN", profile('role_arn = "arn:aws:iam::1:role/x"'), in_x("role_arn", "does not fit")),
    Bad("not an ARN", profile('role_arn = "Developer-in-production"'), in_x("role_arn", "does not fit")),
    Bad("policy ARN", role('policy_arns = ["ReadOnlyAccess"]'), in_x("policy_arns", "'ReadOnlyAccess'")),
    Bad("short device", role('mfa_serial = "me"'), in_x("mfa_serial", "must be 9 to 256 characters, not 2")),
    Bad("half an MFA ARN", profile('mfa_serial = "arn:aws:iam"'), in_x("mfa_serial", "does not fit")),
    Bad("region", role('region = "Ireland"'), in_x("region", "'Ireland'")),
    Bad("region of STS", role('sts_region = "eu_west_1"'), in_x("sts_region", "'eu_west_1'")),
    Bad("endpoint", role('endpoint_url = "sts.example.com"'), in_x("endpoint_url", "does not fit")),
    Bad("timeout", role("connect_timeout = 11"), in_x("connect_timeout", "must be 1 to 10, not 11")),
    Bad("long line", role(f'description = "{"x" * 257}"'), in_x("description", "at most 256 characters")),
    Bad("short id", role('external_id = "x"'), in_x("external_id", "must be 2 to 1224 characters, not 1")),
    Bad(
        "task",
        profile('task_policy_arn = "Unlock"'),
        in_x("task_policy_arn", "neither an ARN nor a root-task"),
    ),
    Bad(
        "misspelt task",
        profile('task_policy_arn = "S3UnlockBucketPolcy"'),
        in_x("task_policy_arn", "did you mean 'S3UnlockBucketPolicy'"),
    ),
    Bad("C0", role(r'description = "a\u001b[2Jb"'), in_x("description", "has a control character")),
    Bad("line feed", role(r'region = "eu\nwest-1"'), in_x("region", "has a control character")),
    Bad("DEL", role(r'description = "a\u007f"'), in_x("description", "has a control character")),
    Bad("C1", role(r'source_profile = "a\u009b"'), in_x("source_profile", "has a control character")),
    Bad("U+2028", role(r'ca_bundle = "a\u2028"'), in_x("ca_bundle", "has a control character")),
    Bad("C0 in texts", role(r'mfa_command = ["\u0000"]'), in_x("mfa_command", "has a control character")),
    Bad(
        "C0 in tags", role(r'tags = { a = "\u0007" }'), in_x("tags", "has a control character"), schema=False
    ),
    Bad("huge number", role(f"read_timeout = 0x{'f' * 5000}"), in_x("read_timeout", "must be 1 to 10")),
    Bad(
        "loud endpoint",
        role('endpoint_url = "http://a.example"'),
        in_x("endpoint_url", "https"),
        schema=False,
    ),
    Bad("no loopback", role('endpoint_url = "http://127.0.0.1.example"'), in_x("endpoint_url"), schema=False),
    Bad("bracket", role('endpoint_url = "https://[::1"'), in_x("endpoint_url", "HOST:PORT"), schema=False),
    Bad("port", role('endpoint_url = "https://a:99999"'), in_x("endpoint_url", "HOST:PORT"), schema=False),
    Bad("user", role('endpoint_url = "https://me:pw@a"'), in_x("endpoint_url", "HOST:PORT"), schema=False),
    Bad("policy", role("policy = '{\"Version\": }'"), in_x("policy", "is not valid JSON"), schema=False),
    Bad("deep policy", role(f"policy = '{'[' * 9999}'"), in_x("policy", "is not valid JSON"), schema=False),
    Bad("policy array", role("policy = '[]'"), in_x("policy", "must be a JSON object"), schema=False),
    Bad("regular expression", role("require_reason = '['"), in_x("require_reason", "regular"), schema=False),
    Bad(
        "placeholder",
        role('role_session_name = "{usr}"'),
        in_x("role_session_name", "unknown placeholder '{usr}'", "{user}, {host}, {reason}"),
        schema=False,
    ),
    Bad("placeholder in tag", role('tags = { a = "{}" }'), in_x("tags", "placeholder '{}'"), schema=False),
    Bad("session name", role('role_session_name = "a b"'), in_x("role_session_name", "'a b'"), schema=False),
    Bad(
        "[defaults] role",
        f"[defaults]\n{ROLE} {HERE}\n[profiles.x]\n{ROLE}\n",
        ("'role_arn' in [defaults] is",),
    ),
    Bad(
        "[defaults] key",
        f"[defaults]\nregions = 1 {HERE}\n[profiles.x]\n{ROLE}\n",
        ("did you mean 'region'",),
    ),
    Bad("profile is a number", f"[profiles]\nx = 1 {HERE}\n", ("'x' in [profiles] must be a table",)),
    Bad("profiles is a number", f"profiles = 1 {HERE}\n", ("'profiles' must be a table: [profiles]",)),
    Bad("array of profiles", f"[[profiles]] {HERE}\n{ROLE}\n", ("'profiles' must be a table: [profiles]",)),
    Bad(
        "name with @",
        f'[profiles."a@b"] {HERE}\n{ROLE}\n',
        ("'a@b' in [profiles] is not a profile name",),
        "a@b",
    ),
    Bad(
        "name with space",
        f'[profiles."a b"] {HERE}\n{ROLE}\n',
        ("'a b' in [profiles] is not a profile",),
        "a b",
    ),
    Bad(
        "account id",
        f'[accounts]\na = "123" {HERE}\n[profiles.x]\n{ROLE}\n',
        ("'a' in [accounts] must be an",),
    ),
    Bad("account number", f"[accounts]\na = 111122223333 {HERE}\n[profiles.x]\n{ROLE}\n", ("in quotes",)),
    Bad(
        "account name",
        f'[accounts]\n"a b" = "111122223333" {HERE}\n[profiles.x]\n{ROLE}\n',
        ("is not a name",),
    ),
    Bad(
        "id as account name",
        f'[accounts]\n999999999999 = "111122223333" {HERE}\n[profiles.x]\n{ROLE}\n',
        ("'999999999999' in [accounts] is not a name for an account",),
    ),
)
"""One key is at fault."""

TOGETHER: Final = (
    Bad(
        "two sources",
        profile(ROLE, 'source_profile = "me"', 'credential_source = "Environment"'),
        in_x("credential_source", "is a second source next to 'source_profile'"),
    ),
    Bad(
        "no kind",
        f'[profiles.a]\n{ROLE}\n[profiles.x] {HERE}\nregion = "eu-west-1"\n',
        ("[profiles.x] does not select an STS call", "set 'role_arn'"),
    ),
    Bad(
        "two kinds",
        profile(TASK, ROLE),
        in_x("role_arn", "and 'task_policy_arn' exclude each other"),
    ),
    Bad(
        "target without task",
        profile('target_principal = "111122223333"'),
        in_x("target_principal", "needs a 'task_policy_arn'", "S3UnlockBucketPolicy"),
    ),
    Bad(
        "key of another kind",
        root('external_id = "abc"'),
        in_x("external_id", "is not a key of AssumeRoot: it belongs to AssumeRole"),
    ),
    Bad(
        "task key in a session",
        session("allow_targets = []"),
        in_x("allow_targets", "is not a key of GetSessionToken"),
    ),
    Bad(
        "AssumeRoot too long",
        root("duration_seconds = 901"),
        in_x("duration_seconds", "must be 60 to 900 seconds for AssumeRoot"),
    ),
    Bad(
        "AssumeRole too short",
        role("duration_seconds = 899"),
        in_x("duration_seconds", "must be 900 to 43200 seconds for AssumeRole"),
    ),
    Bad(
        "AssumeRole too long",
        role("duration_seconds = 43201"),
        in_x("duration_seconds", "must be 900 to 43200"),
    ),
    Bad(
        "session too short",
        session("duration_seconds = 899"),
        in_x("duration_seconds", "must be 900 to 129600 seconds for GetSessionToken"),
    ),
    Bad(
        "inherited too long",
        f"[defaults]\nduration_seconds = 43201 {HERE}\n[profiles.x]\n{ROLE}\n",
        ("'duration_seconds' in [defaults] must be 900 to 43200",),
    ),
    Bad(
        "partition of role",
        f'[profiles.x]\nregion = "cn-north-1"\n{ROLE} {HERE}\n',
        in_x("role_arn", "partition of region 'cn-north-1' (aws-cn)"),
    ),
    Bad(
        "partition of STS",
        f'[profiles.x]\nsts_region = "us-gov-west-1"\n{ROLE} {HERE}\n',
        in_x("role_arn", "partition of region 'us-gov-west-1'"),
    ),
    Bad(
        "partition of task",
        profile(
            'target_principal = "111122223333"',
            'region = "eu-west-1"',
            'task_policy_arn = "arn:aws-cn:iam::aws:policy/root-task/S3UnlockBucketPolicy"',
        ),
        in_x("task_policy_arn", "(aws)"),
    ),
    Bad(
        "partition of policy",
        profile(ROLE, 'region = "eu-west-1"', 'policy_arns = ["arn:aws-cn:iam::aws:policy/x"]'),
        in_x("policy_arns", "is not in the partition"),
    ),
    Bad(
        "partition of target",
        profile(TASK, 'region = "eu-west-1"', 'target_principal = "arn:aws-cn:iam::111122223333:root"'),
        in_x("target_principal", "is not in the partition"),
    ),
    Bad(
        "partition of device",
        f"[defaults]\n{DEVICE} {HERE}\n[profiles.x]\n{ROLE.replace('aws', 'aws-cn')}\n{CHINA}\n",
        ("'mfa_serial' in [defaults] is not in the partition",),
    ),
    Bad(
        "unknown alias",
        root('target_principal = "payment-prod"'),
        in_x("target_principal", "unknown account: 'payment-prod'", "did you mean 'payments-prod'"),
    ),
    Bad(
        "unknown alias allowed",
        root('allow_targets = ["nobody"]'),
        in_x("allow_targets", "names an unknown account: 'nobody'"),
        "x@payments-prod",
    ),
    Bad(
        "target not allowed",
        root('allow_targets = ["444455556666"]'),
        in_x("allow_targets", "does not allow the target '111122223333'"),
        "x@payments-prod",
    ),
    Bad(
        "target denied",
        root('deny_targets = ["payments-prod"]'),
        in_x("deny_targets", "denies the target '111122223333'"),
        "x@111122223333",
    ),
    Bad(
        "own target denied",
        profile(
            TASK, 'target_principal = "arn:aws:iam::111122223333:root"', 'deny_targets = ["payments-prod"]'
        ),
        in_x("deny_targets", "denies"),
    ),
)
"""Keys that are right one by one and wrong together: more than the schema can say."""

ASKED: Final = (
    Bad("no profiles", "", ("no profile 'x' in", "the file has no profiles yet")),
    Bad("no such profile", f"[profiles.a]\n{ROLE}\n", ("no profile 'x' in", "known profiles: a")),
    Bad("misspelt profile", f"[profiles.developer]\n{ROLE}\n", ("did you mean 'developer'",), "developper"),
    Bad("target of a role", f"[profiles.x]\n{ROLE}\n", ("'x' takes no target",), "x@111122223333"),
    Bad(
        "second target",
        f'[profiles.x]\n{TASK}\ntarget_principal = "111122223333"\n',
        ("profile 'x' has a target of its own, so '@444455556666' cannot be added",),
        "x@444455556666",
    ),
    Bad("no target", f"[profiles.x]\n{TASK}\n", ("profile 'x' needs a target account", "'x@ACCOUNT'")),
    Bad(
        "unknown target", f"{ACCOUNTS}[profiles.x]\n{TASK}\n", ("target 'payments' is neither",), "x@payments"
    ),
    Bad("short account id", f"[profiles.x]\n{TASK}\n", ("target '123' is neither an account id",), "x@123"),
)
"""The file is right, and the question is wrong."""

FILES: Final = (
    Bad("bad TOML", f"[profiles.x]\n{ROLE}\nregion = eu-west-1\n", ("is not valid TOML", "line 3")),
    Bad(
        "duplicate key", f"[profiles.x]\n{ROLE}\n{ROLE}\n", ("is not valid TOML: cannot overwrite", "line 3")
    ),
    Bad("duplicate table", f"[profiles.x]\n{ROLE}\n[profiles.x]\n", ("is not valid TOML: cannot declare",)),
    Bad("bare control character", f'[profiles.x]\n{ROLE}\ndescription = "\x1b[2J"\n', ("is not valid TOML",)),
    Bad("surrogate", r'description = "\ud800"', ("is not valid TOML",)),
    Bad("no date", "a = 2026-02-30\n", ("is not valid TOML",)),
    Bad("bad UTF-8", b'# a comment\nregion = "\xff"\n', ("line 2: not valid UTF-8",)),
    Bad("UTF-16", f"[profiles.x]\n{ROLE}\n".encode("utf-16"), ("line 1: not valid UTF-8",)),
    Bad("deep nesting", f"a = {'[' * 5000}{']' * 5000}\n", ("is nested too deeply",)),
    Bad("deep tables", f"a = {'{a=' * 5000}1{'}' * 5000}\n", ("is nested too deeply",)),
    Bad("long number", f"a = {'9' * 5000}\n", ("is not valid TOML",)),
    Bad("too large", b"#" * (4 * 1024 * 1024 + 1), ("is larger than 4 MiB",)),
)
"""The file is at fault as a whole."""

ALL: Final = (*KEYS, *TOGETHER, *ASKED, *FILES)
