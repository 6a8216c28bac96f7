"""Configurations that are refused, and what has to be said about each: a table for several tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HERE: Final = "# <-- here"
"""Marks the line that the sentence has to name."""

ACCOUNTS: Final = '[accounts]\npayments-prod = "111122223333"\n'
ROLE: Final = 'role_arn = "arn:aws:iam::222233334444:role/Developer"'
TASK: Final = 'task_policy_arn = "S3UnlockBucketPolicy"'
X: Final = f"[profiles.x]\n{ROLE}\n"
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


def bad(name: str, text: str | bytes, *words: str, asked: str = "x") -> Bad:
    return Bad(name, text, words, asked)


def profile(name: str, lines: tuple[str, ...], *words: str, asked: str = "x", schema: bool = True) -> Bad:
    """A file with the profile 'x' of these lines, of which the last one is at fault."""
    text = "\n".join([f"{ACCOUNTS}[defaults]", "# nothing", "[profiles.x]", *lines]) + f"  {HERE}\n"
    return Bad(name, text, in_x(lines[-1].partition(" ")[0], *words), asked, schema)


def role(name: str, line: str, *words: str, schema: bool = True) -> Bad:
    """A file with an AssumeRole profile."""
    return profile(name, (ROLE, line), *words, schema=schema)


def root(name: str, line: str, *words: str, asked: str = "x") -> Bad:
    """A file with an AssumeRoot profile."""
    return profile(name, (TASK, line), *words, asked=asked)


def session(name: str, line: str, *words: str) -> Bad:
    """A file with a GetSessionToken profile."""
    return profile(name, (DEVICE, 'source_profile = "me"', line), *words)


def in_x(key: str, *words: str) -> tuple[str, ...]:
    """The words about a key of the profile 'x'."""
    return (f"'{key}' in [profiles.x] ", *words)


KEYS: Final = (
    role("unknown key", "colour = 1", "is not a known key"),
    role("misspelt key", 'external_ids = "abc"', "did you mean 'external_id'"),
    bad(
        "name with a dot, not quoted",
        f"{X}[profiles.x.admin] {HERE}\n{ROLE}\n",
        "'admin' in [profiles.x] is not a known key",
        '[profiles."a.b"]',
    ),
    bad("key of [keyring]", f"[keyring]\ntimeouts = 3 {HERE}\n", "'timeouts' in [keyring] is not a known"),
    bad("key of [agent]", f'[agent]\nmode = "on" {HERE}\n', "'mode' in [agent] must be one of 'auto', 'off'"),
    bad("key of [audit]", f"[audit]\nrequired = 1 {HERE}\n", "'required' in [audit] must be true or false"),
    bad("backend", f'[keyring]\nbackend = "a b" {HERE}\n', "'backend' in [keyring] has a value", "'a b'"),
    bad("unknown table", f"[profils.x] {HERE}\n{ROLE}\n", "'profils' is not a known table", "'profiles'"),
    bad("key outside tables", f'source_profile = "me" {HERE}\n', ": 'source_profile' is not a known table"),
    role("number for text", "external_id = 12", "must be a string, not a number"),
    role("date for text", "region = 2026-11-22", "must be a string, not a date or time"),
    role("table for text", "region = { a = 1 }", "must be a string, not a table"),
    role("text for number", 'duration_seconds = "900"', "not a string"),
    role("fraction", "duration_seconds = 900.5", "not a floating-point number"),
    role("boolean for number", "connect_timeout = true", "not true or false"),
    role("not a number", "read_timeout = nan", "must be a whole number"),
    role("text for boolean", 'mfa_session = "true"', "must be true or false"),
    role("number for boolean", "confirm = 1", "must be true or false, not a number"),
    role("cache", 'cache = "disk"', 'must be one of true, "memory", false'),
    role("number for cache", "cache = 1", 'must be one of true, "memory", false'),
    role("reason", "require_reason = [1]", "must be true, false or a string"),
    role("text for texts", 'policy_arns = "arn"', "must be an array of strings"),
    role("number in texts", 'mfa_command = ["a", 1]', "and a number is in it"),
    role("no texts", "policy_arns = []", "must be at least 1 entries, not 0"),
    role("text for table", 'tags = "a=b"', "must be a table of strings, not a string"),
    role("number in table", "tags = { a = 1 }", "and 'a' is a number"),
    role("tag without key", 'tags = { "" = "v" }', "1 to 128"),
    role("long tag", f'tags = {{ a = "{"v" * 257}" }}', "at most 256 characters"),
    role("51 tags", f"tags = {{ {FIFTY_ONE} }}", "must be at most 50 entries, not 51"),
    role("context", "provided_contexts = [{}]", "ProviderArn and Context"),
    role("contexts", "provided_contexts = 1", "must be an array of tables"),
    role("source", 'credential_source = "Ec2"', "'Ec2InstanceMetadata'"),
    role("saved key", 'source_key = "a b"', "has a value that does not fit"),
    profile("role ARN", ('role_arn = "arn:aws:iam::1:role/x"',), "does not fit"),
    profile("not an ARN", ('role_arn = "Developer-in-production"',), "does not fit"),
    role("policy ARN", 'policy_arns = ["ReadOnlyAccess"]', "'ReadOnlyAccess'"),
    role("short device", 'mfa_serial = "me"', "must be 9 to 256 characters, not 2"),
    profile("half an MFA ARN", ('mfa_serial = "arn:aws:iam"',), "does not fit"),
    role("region", 'region = "Ireland"', "'Ireland'"),
    role("region of STS", 'sts_region = "eu_west_1"', "'eu_west_1'"),
    role("endpoint", 'endpoint_url = "sts.example.com"', "does not fit"),
    role("timeout", "connect_timeout = 11", "must be 1 to 10, not 11"),
    role("long line", f'description = "{"x" * 257}"', "at most 256 characters"),
    role("short id", 'external_id = "x"', "must be 2 to 1224 characters, not 1"),
    profile("task", ('task_policy_arn = "Unlock"',), "neither an ARN nor a root-task"),
    profile(
        "misspelt task", ('task_policy_arn = "S3UnlockBucketPolcy"',), "did you mean 'S3UnlockBucketPolicy'"
    ),
    role("C0", r'description = "a\u001b[2Jb"', "has a control character"),
    role("line feed", r'region = "eu\nwest-1"', "has a control character"),
    role("DEL", r'description = "a\u007f"', "has a control character"),
    role("C1", r'source_profile = "a\u009b"', "has a control character"),
    role("U+2028", r'ca_bundle = "a\u2028"', "has a control character"),
    role("C0 in texts", r'mfa_command = ["\u0000"]', "has a control character"),
    role("C0 in tags", r'tags = { a = "\u0007" }', "has a control character", schema=False),
    role("huge number", f"read_timeout = 0x{'f' * 5000}", "must be 1 to 10"),
    role("loud endpoint", 'endpoint_url = "http://a.example"', "https", schema=False),
    role("no loopback", 'endpoint_url = "http://127.0.0.1.example"', schema=False),
    role("bracket", 'endpoint_url = "https://[::1"', "HOST:PORT", schema=False),
    role("port", 'endpoint_url = "https://a:99999"', "HOST:PORT", schema=False),
    role("user", 'endpoint_url = "https://me:pw@a"', "HOST:PORT", schema=False),
    role("policy", "policy = '{\"Version\": }'", "is not valid JSON", schema=False),
    role("deep policy", f"policy = '{'[' * 9999}'", "is not valid JSON", schema=False),
    role("policy array", "policy = '[]'", "must be a JSON object", schema=False),
    role("regular expression", "require_reason = '['", "regular", schema=False),
    role(
        "placeholder",
        'role_session_name = "{usr}"',
        "unknown placeholder '{usr}'",
        "{user}, {host}, {reason}",
        schema=False,
    ),
    role("placeholder in tag", 'tags = { a = "{}" }', "placeholder '{}'", schema=False),
    role("session name", 'role_session_name = "a b"', "'a b'", schema=False),
    bad("[defaults] role", f"[defaults]\n{ROLE} {HERE}\n{X}", "'role_arn' in [defaults] is"),
    bad("[defaults] key", f"[defaults]\nregions = 1 {HERE}\n{X}", "did you mean 'region'"),
    bad("profile is a number", f"[profiles]\nx = 1 {HERE}\n", "'x' in [profiles] must be a table"),
    bad("profiles is a number", f"profiles = 1 {HERE}\n", "'profiles' must be a table: [profiles]"),
    bad("array of profiles", f"[[profiles]] {HERE}\n{ROLE}\n", "'profiles' must be a table: [profiles]"),
    bad(
        "name with @",
        f'[profiles."a@b"] {HERE}\n{ROLE}\n',
        "'a@b' in [profiles] is not a profile name",
        asked="a@b",
    ),
    bad(
        "name with space",
        f'[profiles."a b"] {HERE}\n{ROLE}\n',
        "'a b' in [profiles] is not a profile",
        asked="a b",
    ),
    bad("account id", f'[accounts]\na = "123" {HERE}\n{X}', "'a' in [accounts] must be an"),
    bad("account number", f"[accounts]\na = 111122223333 {HERE}\n{X}", "in quotes"),
    bad("account name", f'[accounts]\n"a b" = "111122223333" {HERE}\n{X}', "is not a name"),
    bad(
        "id as account name",
        f'[accounts]\n999999999999 = "111122223333" {HERE}\n{X}',
        "'999999999999' in [accounts] is not a name for an account",
    ),
)
"""One key is at fault."""

TOGETHER: Final = (
    profile(
        "two sources",
        (ROLE, 'source_profile = "me"', 'credential_source = "Environment"'),
        "is a second source next to 'source_profile'",
    ),
    bad(
        "no kind",
        f'[profiles.a]\n{ROLE}\n[profiles.x] {HERE}\nregion = "eu-west-1"\n',
        "[profiles.x] does not select an STS call",
        "set 'role_arn'",
    ),
    profile("two kinds", (TASK, ROLE), "and 'task_policy_arn' exclude each other"),
    profile(
        "target without task",
        ('target_principal = "111122223333"',),
        "needs a 'task_policy_arn'",
        "S3UnlockBucketPolicy",
    ),
    root(
        "key of another kind", 'external_id = "abc"', "is not a key of AssumeRoot: it belongs to AssumeRole"
    ),
    session("task key in a session", "allow_targets = []", "is not a key of GetSessionToken"),
    root("AssumeRoot too long", "duration_seconds = 901", "must be 60 to 900 seconds for AssumeRoot"),
    role("AssumeRole too short", "duration_seconds = 899", "must be 900 to 43200 seconds for AssumeRole"),
    role("AssumeRole too long", "duration_seconds = 43201", "must be 900 to 43200"),
    session(
        "session too short", "duration_seconds = 899", "must be 900 to 129600 seconds for GetSessionToken"
    ),
    bad(
        "inherited too long",
        f"[defaults]\nduration_seconds = 43201 {HERE}\n{X}",
        "'duration_seconds' in [defaults] must be 900 to 43200",
    ),
    bad(
        "partition of role",
        f'[profiles.x]\nregion = "cn-north-1"\n{ROLE} {HERE}\n',
        "'role_arn' in [profiles.x] is not in the partition of region 'cn-north-1' (aws-cn)",
    ),
    bad(
        "partition of STS",
        f'[profiles.x]\nsts_region = "us-gov-west-1"\n{ROLE} {HERE}\n',
        "'role_arn' in [profiles.x] is not in the partition of region 'us-gov-west-1'",
    ),
    profile(
        "partition of task",
        (
            'target_principal = "111122223333"',
            'region = "eu-west-1"',
            'task_policy_arn = "arn:aws-cn:iam::aws:policy/root-task/S3UnlockBucketPolicy"',
        ),
        "(aws)",
    ),
    profile(
        "partition of policy",
        (ROLE, 'region = "eu-west-1"', 'policy_arns = ["arn:aws-cn:iam::aws:policy/x"]'),
        "is not in the partition",
    ),
    profile(
        "partition of target",
        (TASK, 'region = "eu-west-1"', 'target_principal = "arn:aws-cn:iam::111122223333:root"'),
        "is not in the partition",
    ),
    bad(
        "partition of device",
        f"[defaults]\n{DEVICE} {HERE}\n[profiles.x]\n{ROLE.replace('aws', 'aws-cn')}\n{CHINA}\n",
        "'mfa_serial' in [defaults] is not in the partition",
    ),
    root(
        "unknown alias",
        'target_principal = "payment-prod"',
        "unknown account: 'payment-prod'",
        "did you mean 'payments-prod'",
    ),
    root(
        "unknown alias allowed",
        'allow_targets = ["nobody"]',
        "names an unknown account: 'nobody'",
        asked="x@payments-prod",
    ),
    root(
        "target not allowed",
        'allow_targets = ["444455556666"]',
        "does not allow the target '111122223333'",
        asked="x@payments-prod",
    ),
    root(
        "target denied",
        'deny_targets = ["payments-prod"]',
        "denies the target '111122223333'",
        asked="x@111122223333",
    ),
    profile(
        "own target denied",
        (TASK, 'target_principal = "arn:aws:iam::111122223333:root"', 'deny_targets = ["payments-prod"]'),
        "denies",
    ),
)
"""Keys that are right one by one and wrong together: more than the schema can say."""

ASKED: Final = (
    bad("no profiles", "", "no profile 'x' in", "the file has no profiles yet"),
    bad("no such profile", f"[profiles.a]\n{ROLE}\n", "no profile 'x' in", "known profiles: a"),
    bad(
        "misspelt profile", f"[profiles.developer]\n{ROLE}\n", "did you mean 'developer'", asked="developper"
    ),
    bad("target of a role", X, "'x' takes no target", asked="x@111122223333"),
    bad(
        "second target",
        f'[profiles.x]\n{TASK}\ntarget_principal = "111122223333"\n',
        "profile 'x' has a target of its own, so '@444455556666' cannot be added",
        asked="x@444455556666",
    ),
    bad("no target", f"[profiles.x]\n{TASK}\n", "profile 'x' needs a target account", "'x@ACCOUNT'"),
    bad(
        "unknown target",
        f"{ACCOUNTS}[profiles.x]\n{TASK}\n",
        "target 'payments' is neither",
        asked="x@payments",
    ),
    bad(
        "short account id", f"[profiles.x]\n{TASK}\n", "target '123' is neither an account id", asked="x@123"
    ),
)
"""The file is right, and the question is wrong."""

FILES: Final = (
    bad("bad TOML", f"{X}region = eu-west-1\n", "is not valid TOML", "line 3"),
    bad("duplicate key", f"{X}{ROLE}\n", "is not valid TOML: cannot overwrite", "line 3"),
    bad("duplicate table", f"{X}[profiles.x]\n", "is not valid TOML: cannot declare"),
    bad("bare control character", f'{X}description = "\x1b[2J"\n', "is not valid TOML"),
    bad("surrogate", r'description = "\ud800"', "is not valid TOML"),
    bad("no date", "a = 2026-02-30\n", "is not valid TOML"),
    bad("bad UTF-8", b'# a comment\nregion = "\xff"\n', "line 2: not valid UTF-8"),
    bad("UTF-16", X.encode("utf-16"), "line 1: not valid UTF-8"),
    bad("deep nesting", f"a = {'[' * 5000}{']' * 5000}\n", "is nested too deeply"),
    bad("deep tables", f"a = {'{a=' * 5000}1{'}' * 5000}\n", "is nested too deeply"),
    bad("long number", f"a = {'9' * 5000}\n", "is not valid TOML"),
    bad("too large", b"#" * (4 * 1024 * 1024 + 1), "is larger than 4 MiB"),
)
"""The file is at fault as a whole."""

ALL: Final = (*KEYS, *TOGETHER, *ASKED, *FILES)
