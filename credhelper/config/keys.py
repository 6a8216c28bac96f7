"""Every key a profile may have: its type, its limits, and the STS parameter that it becomes.

This is the one table behind the TOML, the command line flags, the JSON Schema and the example file.
Names and limits are those of the STS API reference (a test compares them with botocore's service
model); keys that AWS does not have are ours and say so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from credhelper.config.aws_names import MFA_SERIAL, POLICY_ARN, REGION, ROLE_ARN, STS_NAME

Kind = Literal["root", "role", "session"]
Form = Literal["text", "number", "boolean", "boolean or text", "texts", "table", "tables"]

ROOT: Final = "root"
ROLE: Final = "role"
SESSION: Final = "session"

API: Final[dict[Kind, str]] = {ROOT: "AssumeRoot", ROLE: "AssumeRole", SESSION: "GetSessionToken"}
"""The STS operation behind each kind of profile."""

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._=+-]*"

SOURCES: Final = ("source_profile", "credential_source", "source_key")
"""The keys that name where the source credentials come from; a profile has at most one of them."""

DURATIONS: Final[dict[Kind, tuple[int, int]]] = {
    ROOT: (60, 900),  # the API takes 0 to 900; below 60 an SDK cannot use the answer before it expires
    ROLE: (900, 43200),
    SESSION: (900, 129600),
}
"""The seconds that `duration_seconds` may say, for each kind."""

API_DURATIONS: Final[dict[Kind, tuple[int, int]]] = {**DURATIONS, ROOT: (0, 900)}
"""What the API takes, and with it the API forms of the command line."""

INHERITED_PARAMETERS: Final = ("mfa_serial", "role_session_name", "source_identity", "duration_seconds")


@dataclass(frozen=True)
class Key:
    """One key of a profile. `low` and `high` bound a number's value, or else the length.

    `members` are those of the structure that the API makes of a value or of each entry; `aws_option` is the
    AWS CLI's option where that is called neither like the parameter nor like the key.
    """

    name: str
    form: Form
    meaning: str
    kinds: tuple[Kind, ...] = (ROOT, ROLE, SESSION)
    parameter: str | None = None
    low: int | None = None
    high: int | None = None
    pattern: str | None = None
    choices: tuple[object, ...] = ()
    placeholders: bool = False
    members: tuple[str, ...] = ()
    aws_option: str = ""

    @property
    def inherited(self) -> bool:
        """Whether [defaults] may hold it: source, endpoint and ours, and four of the API's."""
        return self.parameter is None or self.name in INHERITED_PARAMETERS

    @property
    def flag(self) -> str:
        """The same key on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def option(self) -> str:
        """The AWS CLI's name for the same: `--serial-number` for mfa_serial, which is SerialNumber."""
        hyphenated = re.sub(r"(?<!^)(?=[A-Z])", "-", self.parameter or self.name.replace("_", "-")).lower()
        return self.aws_option or f"--{hyphenated}"

    @property
    def is_list(self) -> bool:
        """Whether the API has a list of it."""
        return self.form in ("texts", "table", "tables")


KEYS: Final[tuple[Key, ...]] = (
    # AssumeRoot
    Key(
        "target_principal",
        "text",
        parameter="TargetPrincipal",
        meaning="the member account: an alias from [accounts], an account id, or arn:aws:iam::ID:root",
        kinds=(ROOT,),
        high=2048,
    ),
    Key(
        "task_policy_arn",
        "text",
        parameter="TaskPolicyArn",
        meaning="the root task: an ARN, or the short name of one of AWS's five root-task policies",
        kinds=(ROOT,),
        high=2048,
        members=("arn",),
    ),
    # AssumeRole
    Key(
        "role_arn",
        "text",
        parameter="RoleArn",
        meaning="the role to assume",
        kinds=(ROLE,),
        low=20,
        high=2048,
        pattern=ROLE_ARN,
    ),
    Key(
        "role_session_name",
        "text",
        parameter="RoleSessionName",
        meaning="the name of the session in CloudTrail (default '{user}@{host}')",
        kinds=(ROLE,),
        low=2,
        high=64,
        pattern=STS_NAME,
        placeholders=True,
    ),
    Key(
        "policy",
        "text",
        parameter="Policy",
        meaning="a session policy, as JSON text",
        kinds=(ROLE,),
        low=1,
        pattern=r"[\t\n\r\x20-\xff]+",
    ),
    Key(
        "policy_arns",
        "texts",
        parameter="PolicyArns",
        meaning="managed policies that bound the session",
        kinds=(ROLE,),
        low=1,
        pattern=POLICY_ARN,
        members=("arn",),
    ),
    Key(
        "tags",
        "table",
        parameter="Tags",
        meaning="session tags",
        kinds=(ROLE,),
        high=50,
        placeholders=True,
        members=("Key", "Value"),
    ),
    Key(
        "transitive_tag_keys",
        "texts",
        parameter="TransitiveTagKeys",
        meaning="tags that pass on to chained roles",
        kinds=(ROLE,),
        high=50,
        pattern=r".{1,128}",
    ),
    Key(
        "external_id",
        "text",
        parameter="ExternalId",
        meaning="what the role's trust policy asks third parties for",
        kinds=(ROLE,),
        low=2,
        high=1224,
        pattern=r"[\w+=,.@:/-]*",
    ),
    Key(
        "source_identity",
        "text",
        parameter="SourceIdentity",
        meaning="who is behind the session; it stays readable through chained roles",
        kinds=(ROLE,),
        low=2,
        high=256,
        pattern=STS_NAME,
        placeholders=True,
    ),
    Key(
        "provided_contexts",
        "tables",
        parameter="ProvidedContexts",
        meaning="trusted context assertions, as tables of ProviderArn and ContextAssertion",
        kinds=(ROLE,),
        low=1,
        high=5,
        members=("ProviderArn", "ContextAssertion"),
    ),
    # AssumeRole and GetSessionToken
    Key(
        "mfa_serial",
        "text",
        parameter="SerialNumber",
        meaning="the MFA device: its ARN, or a hardware serial number",
        kinds=(ROLE, SESSION),
        low=9,
        high=256,
        pattern=MFA_SERIAL,
    ),
    Key(
        "duration_seconds",
        "number",
        parameter="DurationSeconds",
        meaning="how long the session lasts "
        "(AssumeRoot 60-900, AssumeRole 900-43200, GetSessionToken 900-129600)",
        kinds=(ROOT, ROLE, SESSION),
        low=60,
        high=129600,
    ),
    Key(
        "minimum_session_token_size",
        "number",
        parameter="MinimumSessionTokenSize",
        meaning="pad the session token to at least so many bytes",
        kinds=(ROOT, ROLE, SESSION),
        low=0,
        high=4096,
    ),
    # Source
    Key(
        "source_profile",
        "text",
        "whose credentials make the call: a profile of config.toml, else one of AWS's",
        low=1,
        high=256,
        aws_option="--profile",
    ),
    Key(
        "credential_source",
        "text",
        "whose credentials make the call: where the AWS SDK would look",
        choices=("Environment", "Ec2InstanceMetadata", "EcsContainer"),
    ),
    Key(
        "source_key",
        "text",
        "whose credentials make the call: a key saved in the OS keyring",
        low=1,
        high=128,
        pattern=NAME,
    ),
    # Endpoint
    Key("region", "text", "the region: of STS, and what programs are given", pattern=REGION),
    Key("sts_region", "text", "the region of STS, where it is another than 'region'", pattern=REGION),
    Key(
        "endpoint_url",
        "text",
        "another STS endpoint (https, or http on loopback)",
        pattern=r"https?://[\x21-\x7e]+",
    ),
    Key("ca_bundle", "text", "a file of CA certificates to trust instead of the usual ones", low=1),
    Key(
        "connect_timeout",
        "number",
        "seconds for one connection to STS (default 3)",
        low=1,
        high=10,
        aws_option="--cli-connect-timeout",
    ),
    Key(
        "read_timeout",
        "number",
        "seconds for one read from STS (default 5)",
        low=1,
        high=10,
        aws_option="--cli-read-timeout",
    ),
    Key("use_fips_endpoint", "boolean", "use the FIPS endpoint of STS"),
    Key("use_dualstack_endpoint", "boolean", "use the IPv6 endpoint of STS"),
    # Ours
    Key(
        "mfa_command",
        "texts",
        "a program that prints the MFA code, as an array of its arguments",
        kinds=(ROLE, SESSION),
        low=1,
        high=64,
    ),
    Key(
        "mfa_session",
        "boolean",
        "share one MFA session among all roles with that device (default true)",
        kinds=(ROLE,),
    ),
    Key(
        "mfa_duration_seconds",
        "number",
        "how long that shared session lasts (default 43200)",
        kinds=(ROLE,),
        low=900,
        high=129600,
    ),
    Key("confirm", "boolean", "ask a human before each mint"),
    Key("confirm_for", "number", "seconds for which a yes lasts (default 900)", low=0, high=86400),
    Key(
        "require_reason",
        "boolean or text",
        "ask for a reason: true, or a regular expression that it must match",
        high=1024,
    ),
    Key(
        "renew_for",
        "number",
        "seconds a session may go on renewing itself (AssumeRoot: default 3600)",
        low=60,
        high=2592000,
    ),
    Key(
        "allow_targets",
        "texts",
        "the only accounts this profile may be used on: aliases or ids",
        kinds=(ROOT,),
    ),
    Key("deny_targets", "texts", "accounts this profile may never be used on: aliases or ids", kinds=(ROOT,)),
    Key(
        "cache",
        "boolean or text",
        "true: OS keyring; 'memory': only the agent's memory; false: mint every time",
        choices=(True, "memory", False),
    ),
    Key("min_remaining", "number", "mint anew when fewer seconds than this are left", low=60, high=43200),
    Key("description", "text", "a line for people", high=256),
)

BY_NAME: Final[dict[str, Key]] = {key.name: key for key in KEYS}

TOKEN_CODE: Final = Key(
    "token_code",
    "text",
    parameter="TokenCode",
    meaning="the code that the MFA device shows now: sent once, and never asked for",
    kinds=(ROLE,),
    pattern=r"[0-9]{6}",
)
"""What only a command line can say: no file holds a code."""


SECTIONS: Final[dict[str, tuple[Key, ...]]] = {
    "keyring": (
        Key(
            "backend",
            "text",
            "where secrets are kept: auto, none, or the module.Class of a keyring backend",
            pattern=r"auto|none|[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+",
        ),
        Key("timeout", "number", "seconds for one call of the keyring (default 2)", low=1, high=30),
    ),
    "agent": (
        Key("mode", "text", "whether the memory agent is used (default auto)", choices=("auto", "off")),
        Key(
            "idle_exit",
            "number",
            "seconds after its last entry until the agent leaves (default 900)",
            low=1,
            high=86400,
        ),
    ),
    "audit": (Key("required", "boolean", "refuse to mint when its line cannot be written to the record"),),
}
"""The keys of the tables that stand beside [accounts], [defaults] and [profiles]."""
