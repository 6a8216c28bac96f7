"""Plans the STS calls of a profile: parameters, endpoint, source, and the KEY of each call.

Planning needs neither the network nor botocore, so that the cache can be asked first. A KEY is a digest of
the call as it would be sent and of what signs it: an edited profile never gets the session of an earlier one.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from credhelper.config import validation
from credhelper.config.aws_names import FALLBACK_REGION, REGION, partition_of_arn
from credhelper.config.keys import API, BY_NAME, DURATIONS, ROLE, ROOT, SESSION
from credhelper.config.profiles import Config, Profile, check_partition
from credhelper.config.settings import Setting
from credhelper.config.toml import nearest
from credhelper.errors import ConfigError
from credhelper.sessions import parameters as sessions_parameters
from credhelper.sessions import sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from credhelper.awsconfig.profiles import AwsFiles, Section
    from credhelper.sessions.caller import Node
    from credhelper.sessions.parameters import NameContext
    from credhelper.sessions.sources import CredentialSource

    Signer = tuple[CredentialSource, "StsCall | None"]

LONGEST_CHAIN: Final = 64

_PASSED_ON: Final = (
    *("region", "sts_region", "endpoint_url", "ca_bundle", "connect_timeout", "read_timeout"),
    *("use_fips_endpoint", "use_dualstack_endpoint"),
    *("mfa_command", "mfa_session", "mfa_duration_seconds", "cache"),
)
"""What a role of the AWS config takes over from the profile that depends on it."""

_AWS_ROLE_KEYS: Final = (
    *("role_arn", "role_session_name", "duration_seconds", "external_id", "mfa_serial"),
    *("source_profile", "credential_source", "region"),
)
"""What the SDKs read of an AWS profile that assumes a role; they ignore the rest."""


@dataclass(frozen=True)
class Endpoint:
    """Where a call goes, and how long one attempt may take, in seconds."""

    region: str
    url: str | None = None
    ca_bundle: str | None = None
    connect_timeout: int = BY_NAME["connect_timeout"].default
    read_timeout: int = BY_NAME["read_timeout"].default
    fips: bool | None = None
    dualstack: bool | None = None
    verified: bool = True  # TLS is verified, except with --no-verify-ssl


@dataclass(frozen=True)
class StsCall:
    """One STS call, as it will be made.

    The session of `parent` signs it, or without a parent the credentials of `source`, where the chain begins.
    `path` lists the profiles from the one that was asked for to this call's own.
    """

    profile: Profile
    parameters: Mapping[str, Any]
    source: CredentialSource
    endpoint: Endpoint
    path: tuple[Node, ...] = field(repr=False)
    parent: StsCall | None = None
    generated_name: bool = False

    @property
    def api(self) -> str:
        """The STS operation."""
        return API[self.profile.kind]

    @property
    def needs_code(self) -> bool:
        """Whether an MFA code has to be sent with it."""
        return "SerialNumber" in self.parameters

    @property
    def signer(self) -> str:
        """Whose credentials sign it, as messages name them."""
        return str(self.source) if self.parent is None else f"profile '{self.parent.profile.name}'"

    @property
    def signer_identity(self) -> str:
        """What tells these credentials from others: the parent's KEY, or the identity of the source."""
        return self.source.identity if self.parent is None else self.parent.key

    def hops(self) -> Iterator[StsCall]:
        """This call and those whose sessions it depends on, this one first."""
        hop: StsCall | None = self
        while hop is not None:
            yield hop
            hop = hop.parent

    @cached_property
    def key(self) -> str:
        """The digest under which the answer is cached, locked and recorded: 128 bits as hexadecimal."""
        sent = {
            name: value
            for name, value in self.parameters.items()
            if not (name == "RoleSessionName" and self.generated_name)
        }
        if self.profile.kind == ROOT:
            sent.setdefault("DurationSeconds", DURATIONS[ROOT][1])  # the API's own default: the same session
        document = [self.api, sent, self.signer_identity, self.endpoint.url]
        if self.profile.confirm or self.profile.require_reason:
            document.append("deliberate")  # a session that needed no approval is another session
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


class CallPlanner:
    """Builds the chain of calls for profiles of one configuration."""

    def __init__(
        self,
        config: Config,
        files: AwsFiles,
        environ: Mapping[str, str],
        names: NameContext,
        saved_key_id: Callable[[str], str | None],
        came_from: tuple[Node, ...] = (),
    ) -> None:
        self._config = config
        self._files = files
        self._environ = environ
        self._names = names
        self._saved_key_id = saved_key_id
        self._came_from = came_from

    def call(self, profile: Profile) -> StsCall:
        """The call that answers for `profile`, with its parents.

        Raises ConfigError, SourceError, InteractionError.
        """
        return self._call(profile, self._step(self._came_from, (self._config.path, profile.name)))

    def _call(self, profile: Profile, path: tuple[Node, ...], own: Section | None = None) -> StsCall:
        source, parent = self._signer(profile, path, own)
        profile, parent = self._with_mfa(profile, source, parent, path)
        return self._build(profile, source, parent, path)

    def _build(
        self, profile: Profile, source: CredentialSource, parent: StsCall | None, path: tuple[Node, ...]
    ) -> StsCall:
        endpoint = self.endpoint(profile, source, parent)
        return StsCall(
            profile,
            sessions_parameters.of(profile, endpoint.region, self._names),
            source,
            endpoint,
            path,
            parent,
            generated_name=profile.kind == ROLE and "role_session_name" not in profile.settings,
        )

    def _signer(self, profile: Profile, path: tuple[Node, ...], own: Section | None) -> Signer:
        """Whose credentials sign the call; `own` is the section of a profile that is its own source."""
        name = profile.get("source_profile")
        if own is not None and name == path[-1][1] and "aws_access_key_id" in own:
            return sources.of_section(name, {**own, "role_arn": ""}, self._files), None
        if name is not None:
            if name.partition("@")[0] in self._config.names and own is None:
                step = self._step(path, (self._config.path, name))
                return _session_of(self._call(self._config.profile(name), step))
            return self._aws_profile(name, profile, path)
        if (saved := profile.get("source_key")) is not None:
            return sources.saved_key(saved, self._saved_key_id(saved)), None
        if (place := profile.get("credential_source")) is not None:
            return sources.of_place(place, self._environ), None
        return self._default_chain(profile, path)

    def _aws_profile(self, name: str, served: Profile, path: tuple[Node, ...]) -> Signer:
        section = self._files.profiles.get(name)
        if section is None:
            hint = nearest(name, {*self._files.profiles, *self._config.names})
            raise sources.missing_profile(name, self._files, *hint)
        if not sources.is_role(section):
            return sources.of_section(name, section, self._files), None
        path = self._step(path, (self._files.config_path, name))
        return _session_of(self._call(self._aws_role(name, section, served), path, own=section))

    def _default_chain(self, profile: Profile, path: tuple[Node, ...]) -> Signer:
        """The SDK's default chain, without AWS_PROFILE, which may name the profile that runs credhelper."""
        section = self._files.profiles.get("default", {})
        if not self._environ.get("AWS_ACCESS_KEY_ID") and sources.is_role(section):
            return self._aws_profile("default", profile, path)
        return sources.default_chain(section, self._files, self._environ), None

    def _aws_role(self, name: str, section: Section, served: Profile) -> Profile:
        """A profile of the AWS config that has a role_arn, as a profile of credhelper."""
        place = f"in [profile {name}]"
        settings = {key: served.settings[key] for key in _PASSED_ON if key in served.settings}
        for key in map(BY_NAME.__getitem__, _AWS_ROLE_KEYS):
            if key.name not in section:
                continue
            value: Any = section[key.name]
            if key.form == "number" and re.fullmatch(r"[0-9]{1,9}", value):
                value = int(value)
            if wrong := validation.problem(key, value):
                raise ConfigError(f"'{self._files.config_path}': '{key.name}' {place} {wrong}")
            settings[key.name] = Setting(value, f"profile {name}")
        if "source_profile" not in settings and "credential_source" not in settings:
            raise ConfigError(
                f"'{self._files.config_path}': [profile {name}] has 'role_arn' but no source",
                "add 'source_profile' or 'credential_source' to it",
            )
        duration = settings.get("duration_seconds")
        if duration and (wrong := validation.duration_problem(ROLE, duration.value)):
            raise ConfigError(f"'{self._files.config_path}': 'duration_seconds' {place} {wrong}")
        return Profile(f"AWS profile {name}", ROLE, settings)

    def _with_mfa(
        self, profile: Profile, source: CredentialSource, parent: StsCall | None, path: tuple[Node, ...]
    ) -> tuple[Profile, StsCall | None]:
        """Put one shared MFA session under a role, where that works.

        Only a long-lived key can call GetSessionToken. A session or a role cannot send a code at all, so
        an inherited device is for the first call of a chain and dropped from the later ones.
        """
        device = profile.settings.get("mfa_serial")
        if profile.kind != ROLE or device is None:
            return profile, parent
        inherited, without = device.table == "defaults", _without(profile, "mfa_serial")
        if parent is not None:
            has_it = any(hop.parameters.get("SerialNumber") == device.value for hop in parent.hops())
            return (without if inherited or has_it else profile), parent
        if source.lifetime == "temporary" and inherited:
            return without, None
        if source.lifetime == "long" and profile.get("mfa_session"):
            return without, self._mfa_session(profile, device, source, path)
        return profile, None

    def _mfa_session(
        self, role: Profile, device: Setting, source: CredentialSource, path: tuple[Node, ...]
    ) -> StsCall:
        settings = {
            key: role.settings[key]
            for key in _PASSED_ON
            if key in role.settings and SESSION in BY_NAME[key].kinds
        }
        seconds = Setting(role.get("mfa_duration_seconds"), "")
        settings |= {"mfa_serial": device, "duration_seconds": seconds}
        session = Profile(f"MFA session of {device.value}", SESSION, settings)
        return self._build(session, source, None, path)

    def _step(self, path: tuple[Node, ...], node: Node) -> tuple[Node, ...]:
        """The path with one more step. Raises ConfigError for a loop."""
        if node in path:
            names = [self._spell(each) for each in (*path[path.index(node) :], node)]
            raise ConfigError(
                f"profiles form a loop: {' -> '.join(names)}",
                "give one of them a source that does not come back here",
            )
        if len(path) >= LONGEST_CHAIN:
            raise ConfigError(
                f"profile '{path[0][1]}' depends on a chain of more than {LONGEST_CHAIN} profiles"
            )
        return (*path, node)

    def _spell(self, node: Node) -> str:
        return f"AWS profile '{node[1]}'" if node[0] == self._files.config_path else f"'{node[1]}'"

    def endpoint(self, profile: Profile, source: CredentialSource, parent: StsCall | None = None) -> Endpoint:
        """Where the calls of a profile go that `parent`, or else `source`, signs."""
        candidates = (
            profile.get("sts_region"),
            profile.get("region"),
            self._environ.get("AWS_REGION"),
            self._environ.get("AWS_DEFAULT_REGION"),
            source.region if parent is None else parent.endpoint.region,
        )
        region = next((candidate for candidate in candidates if candidate), None)
        if region is not None and not validation.matches(REGION, region):
            raise ConfigError(f"region '{region}' is not the name of a region")
        if profile.kind == ROOT and region in (None, "aws-global"):
            raise ConfigError(
                f"profile '{profile.name}' needs a region: AssumeRoot is not on the global STS endpoint",
                "say --region, or set 'region' in [defaults]"
                if profile.one_off
                else "set 'region' or 'sts_region' in the profile or in [defaults]",
            )
        if region is not None:
            check_partition(profile, region)
        else:
            arn = str(profile.get("role_arn") or profile.get("mfa_serial") or "")
            region = FALLBACK_REGION.get(partition_of_arn(arn) or "aws", "us-east-1")
        return Endpoint(
            region,
            profile.get("endpoint_url") or sources.endpoint_url(self._environ, self._files, source),
            profile.get("ca_bundle"),
            profile.get("connect_timeout"),
            profile.get("read_timeout"),
            profile.get("use_fips_endpoint"),
            profile.get("use_dualstack_endpoint"),
        )


def _without(profile: Profile, key: str) -> Profile:
    return replace(profile, settings={name: value for name, value in profile.settings.items() if name != key})


def _session_of(parent: StsCall) -> Signer:
    return parent.source, parent
