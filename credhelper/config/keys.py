"""The table of keys: the type, limits and default of each, and the STS parameter that it becomes.

The TOML, the flags, `--help` and the JSON Schema come from it. Names and limits are those of the STS API
reference; a test compares them with botocore's service model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from credhelper.config.aws_names import MFA_SERIAL, POLICY, POLICY_ARN, REGION, ROLE_ARN, STS_NAME, URL

Kind = Literal["root", "role", "session"]
Form = Literal["text", "number", "boolean", "boolean or text", "texts", "table", "tables"]

ROOT: Final = "root"
ROLE: Final = "role"
SESSION: Final = "session"

API: Final[dict[Kind, str]] = {ROOT: "AssumeRoot", ROLE: "AssumeRole", SESSION: "GetSessionToken"}
"""The STS operation behind each kind of profile."""

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._=+-]*"

SOURCES: Final = ("source_profile", "credential_source", "source_key")
"""The keys that name the source of the credentials that sign the call; a profile has at most one."""

DURATIONS: Final[dict[Kind, tuple[int, int]]] = {
    ROOT: (60, 900),  # the API takes 0 to 900; below 60 an SDK cannot use the answer before it expires
    ROLE: (900, 43200),
    SESSION: (900, 129600),
}
"""The seconds that `duration_seconds` may hold, by kind."""

API_DURATIONS: Final[dict[Kind, tuple[int, int]]] = {**DURATIONS, ROOT: (0, 900)}
"""The seconds that the API accepts, and so `assume-root` and `assume-role`."""

INHERITED_PARAMETERS: Final = ("mfa_serial", "role_session_name", "source_identity", "duration_seconds")

AWS_OPTIONS: Final = {
    "source_profile": "--profile",
    "connect_timeout": "--cli-connect-timeout",
    "read_timeout": "--cli-read-timeout",
}
"""Options of the AWS CLI that are called neither like the key nor like the parameter."""


@dataclass(frozen=True)
class Key:
    """One key of a profile.

    `api` is whether it is a parameter of the API, or the parameter's name where that is not the key's in
    CamelCase. `limits` are of a number's value, else of the length; None where there is none. `default` takes
    effect where the key is not set; it is a mapping where it depends on the kind. `members` are those of the
    structure that the API makes of a value or of each entry.
    """

    name: str
    form: Form
    meaning: str
    kinds: tuple[Kind, ...] = (ROOT, ROLE, SESSION)
    api: bool | str = False
    limits: tuple[int | None, int | None] = (None, None)
    pattern: str | None = None
    default: Any = None
    choices: tuple[object, ...] = ()
    placeholders: bool = False
    members: tuple[str, ...] = ()

    @property
    def parameter(self) -> str | None:
        """The STS parameter; None for a key that the API does not have."""
        return "".join(map(str.title, self.name.split("_"))) if self.api is True else self.api or None

    @property
    def inherited(self) -> bool:
        """Whether [defaults] may hold it: four of the API's parameters, and every other key."""
        return not self.api or self.name in INHERITED_PARAMETERS

    @property
    def flag(self) -> str:
        """The option of credhelper's own commands."""
        return "--" + self.name.replace("_", "-")

    @property
    def option(self) -> str:
        """The option of the AWS CLI: `--serial-number` for mfa_serial, which is SerialNumber."""
        hyphenated = re.sub(r"(?<!^)(?=[A-Z])", "-", self.parameter or self.name.replace("_", "-")).lower()
        return AWS_OPTIONS.get(self.name) or f"--{hyphenated}"

    @property
    def is_list(self) -> bool:
        """Whether the API has a list of it."""
        return self.form in ("texts", "table", "tables")

    @property
    def help(self) -> str:
        """The meaning, with the default if there is one."""
        if self.default is None or self.default is False:
            return self.meaning
        if isinstance(self.default, Mapping):
            told = ", ".join(f"{value} for {API[kind]}" for kind, value in self.default.items())
        else:
            told = "true" if self.default is True else f"{self.default}"
        return f"{self.meaning} (default {told})"

    def default_for(self, kind: Kind) -> Any:
        """The value that takes effect in a profile of this kind where the key is not set."""
        return self.default.get(kind) if isinstance(self.default, Mapping) else self.default


_root: Final = partial(Key, kinds=(ROOT,), api=True)
_role: Final = partial(Key, kinds=(ROLE,), api=True)
"""Parameters of AssumeRoot, or of AssumeRole, alone."""

KEYS: Final[tuple[Key, ...]] = (
    # AssumeRoot
    _root(
        "target_principal",
        "text",
        "the member account: an alias from [accounts], an account id, or arn:aws:iam::ID:root",
        limits=(None, 2048),
    ),
    _root(
        "task_policy_arn",
        "text",
        "the root task: an ARN, or the short name of one of AWS's five root-task policies",
        limits=(None, 2048),
        members=("arn",),
    ),
    # AssumeRole
    _role("role_arn", "text", "the role to assume", limits=(20, 2048), pattern=ROLE_ARN),
    _role(
        "role_session_name",
        "text",
        "the name of the session in CloudTrail",
        limits=(2, 64),
        pattern=STS_NAME,
        default="{user}@{host}",
        placeholders=True,
    ),
    _role("policy", "text", "a session policy, as JSON", limits=(1, None), pattern=POLICY),
    _role(
        "policy_arns",
        "texts",
        "managed policies that limit the session",
        limits=(1, None),
        pattern=POLICY_ARN,
        members=("arn",),
    ),
    _role("tags", "table", "session tags", limits=(None, 50), placeholders=True, members=("Key", "Value")),
    _role(
        "transitive_tag_keys", "texts", "tags that chained roles keep", limits=(None, 50), pattern=r".{1,128}"
    ),
    _role(
        "external_id",
        "text",
        "the external id that the role's trust policy asks for",
        limits=(2, 1224),
        pattern=r"[\w+=,.@:/-]*",
    ),
    _role(
        "source_identity",
        "text",
        "who uses the session; it stays visible through chained roles",
        limits=(2, 256),
        pattern=STS_NAME,
        placeholders=True,
    ),
    _role(
        "provided_contexts",
        "tables",
        "trusted context assertions, as tables of ProviderArn and ContextAssertion",
        limits=(1, 5),
        members=("ProviderArn", "ContextAssertion"),
    ),
    # AssumeRole and GetSessionToken
    Key(
        "mfa_serial",
        "text",
        "the MFA device: its ARN, or a hardware serial number",
        (ROLE, SESSION),
        api="SerialNumber",
        limits=(9, 256),
        pattern=MFA_SERIAL,
    ),
    Key(
        "duration_seconds",
        "number",
        "how long the session lasts (AssumeRoot 60-900, AssumeRole 900-43200, GetSessionToken 900-129600)",
        api=True,
        limits=(60, 129600),
        default={ROOT: 900, ROLE: 3600, SESSION: 43200},
    ),
    Key("minimum_session_token_size", "number", "pad the token to this size", api=True, limits=(0, 4096)),
    # Source
    Key(
        "source_profile",
        "text",
        "whose credentials make the call: a profile of config.toml, else one of AWS's",
        limits=(1, 256),
    ),
    Key(
        "credential_source",
        "text",
        "whose credentials make the call: a place where AWS SDKs look",
        choices=("Environment", "Ec2InstanceMetadata", "EcsContainer"),
    ),
    Key("source_key", "text", "whose credentials make the call: a saved key", limits=(1, 128), pattern=NAME),
    # Endpoint
    Key("region", "text", "the region of STS, and of the programs that get the session", pattern=REGION),
    Key("sts_region", "text", "the region of STS, if it differs from 'region'", pattern=REGION),
    Key("endpoint_url", "text", "another STS endpoint (https, or http on loopback)", pattern=URL),
    Key("ca_bundle", "text", "a file of CA certificates to trust instead of the defaults", limits=(1, None)),
    Key("connect_timeout", "number", "seconds for one connection to STS", limits=(1, 10), default=3),
    Key("read_timeout", "number", "seconds for one read from STS", limits=(1, 10), default=5),
    Key("use_fips_endpoint", "boolean", "use the FIPS endpoint of STS"),
    Key("use_dualstack_endpoint", "boolean", "use the IPv6 endpoint of STS"),
    # Ours
    Key(
        "mfa_command",
        "texts",
        "a program that prints the MFA code, as an array of its arguments",
        (ROLE, SESSION),
        limits=(1, 64),
    ),
    Key("mfa_session", "boolean", "one MFA session for all roles with that device", (ROLE,), default=True),
    Key(
        "mfa_duration_seconds",
        "number",
        "how long that shared session lasts",
        (ROLE,),
        limits=(900, 129600),
        default=43200,
    ),
    Key("confirm", "boolean", "ask for a confirmation before each new session", default=False),
    Key("confirm_for", "number", "seconds that a confirmation stays valid", limits=(0, 86400), default=900),
    Key(
        "require_reason",
        "boolean or text",
        "ask for a reason: true, or a regular expression that it must match",
        limits=(None, 1024),
        default=False,
    ),
    Key(
        "renew_for",
        "number",
        "seconds a session may renew itself before 'credhelper login' is needed again",
        limits=(60, 2592000),
        default={ROOT: 3600},
    ),
    Key("allow_targets", "texts", "the only accounts this profile may be used on: aliases or ids", (ROOT,)),
    Key("deny_targets", "texts", "accounts this profile may never be used on: aliases or ids", (ROOT,)),
    Key(
        "cache",
        "boolean or text",
        "true: the OS keyring; 'memory': the agent's memory alone; false: no cache",
        default=True,
        choices=(True, "memory", False),
    ),
    Key("min_remaining", "number", "get a new session when fewer seconds are left", limits=(60, 43200)),
    Key("description", "text", "a line for the listings", limits=(None, 256)),
)

BY_NAME: Final[dict[str, Key]] = {key.name: key for key in KEYS}

TOKEN_CODE: Final = _role(
    "token_code",
    "text",
    "the code that the MFA device shows now: sent once, without a prompt",
    pattern=r"[0-9]{6}",
)
"""A parameter of the command line alone: no file holds a code."""


SECTIONS: Final[dict[str, tuple[Key, ...]]] = {
    "keyring": (
        Key(
            "backend",
            "text",
            "where secrets are kept: auto, none, or the module.Class of a keyring backend",
            default="auto",
            pattern=r"auto|none|[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+",
        ),
        Key("timeout", "number", "seconds for one call of the keyring", limits=(1, 30), default=2),
    ),
    "agent": (
        Key("mode", "text", "whether the memory agent is used", default="auto", choices=("auto", "off")),
        Key(
            "idle_exit",
            "number",
            "seconds after its last session until the agent exits",
            limits=(1, 86400),
            default=900,
        ),
    ),
    "audit": (
        Key(
            "required",
            "boolean",
            "refuse a session whose line cannot be written to the audit log",
            default=False,
        ),
    ),
}
"""The keys of the other tables."""
