"""The owner of an access key, and the connection to AWS that `key` commands use."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from credhelper.aws.services import Services
from credhelper.config import validation
from credhelper.config.keys import BY_NAME, SESSION
from credhelper.config.profiles import Config, Profile
from credhelper.config.settings import FLAG, Setting
from credhelper.errors import (
    ConfigError,
    CredhelperError,
    NoPromptError,
    SourceError,
    UnreachableError,
    printable,
)
from credhelper.sessions import sources

if TYPE_CHECKING:
    from credhelper.app import App
    from credhelper.credentials import AccessKey

SECONDS: Final = 10.0
"""Time for one call to AWS, with retries."""

_NETWORK: Final = (
    *("region", "sts_region", "endpoint_url", "ca_bundle", "connect_timeout", "read_timeout"),
    *("use_fips_endpoint", "use_dualstack_endpoint", "mfa_command"),
)
"""Keys of [defaults] that apply to `key` commands."""


@dataclass(frozen=True)
class Identity:
    """GetCallerIdentity's answer."""

    account: str
    arn: str


def ask(aws: Services, access_key: AccessKey) -> Identity:
    """The owner of a key. Raises SourceError, UnreachableError, RefusedError."""
    try:
        answer = aws.ask(access_key, "sts", "GetCallerIdentity", SECONDS)
    except UnreachableError as error:
        raise UnreachableError(error.sentence, "--no-check saves a key without asking AWS") from None
    except CredhelperError as error:
        raise _rejected(access_key.access_key_id, error) from None
    return Identity(printable(str(answer.get("Account"))), printable(str(answer.get("Arn"))))


def _rejected(access_key_id: str, error: CredhelperError) -> CredhelperError:
    if isinstance(error, SourceError):
        sentence = f"AWS does not know the access key '{access_key_id}', or it is inactive"
        return SourceError(sentence, "a key of China or GovCloud needs a region of that partition: --region")
    if error.code == "SignatureDoesNotMatch":
        sentence = f"AWS does not accept this secret for '{access_key_id}'"
        return SourceError(sentence, "if it is right, check this machine's clock")
    return error


def services(app: App, name: str, access_key: AccessKey, region: str | None) -> Services:
    """AWS's services, with the settings of [defaults]. Raises ConfigError."""
    app, origin = with_config(app), sources.saved_key(name, access_key.access_key_id)
    profile = Profile(f"key {name}", SESSION, network(app, region))
    return Services(app.planner().endpoint(profile, origin), origin)


def mfa_session(app: App, name: str, region: str | None, device: str) -> AccessKey:
    """The MFA session that all roles with this device share; it may prompt for a code."""
    if wrong := validation.problem(BY_NAME["mfa_serial"], device):
        raise ConfigError(f"'--mfa-serial' {wrong}")
    app = with_config(app)
    duration = BY_NAME["mfa_duration_seconds"].default
    own = {"source_key": name, "mfa_serial": device, "duration_seconds": duration}
    settings = network(app, region) | {key: Setting(value, FLAG) for key, value in own.items()}
    app.agent.decline()
    try:
        return app.provider().get(app.call(Profile(f"key {name}", SESSION, settings))).access_key
    except NoPromptError as error:
        raise NoPromptError(error.sentence, "run this command on a terminal") from None


def with_config(app: App) -> App:
    """The app, with an empty configuration if config.toml does not exist."""
    missing = not os.path.exists(app.places.config)
    return replace(app, loaded=Config(app.places.config, "", {})) if missing else app


def network(app: App, region: str | None) -> dict[str, Setting]:
    """Settings of the connection to AWS: [defaults], and the region of the flag. Raises ConfigError."""
    defaults = {key: value for key, value in app.config.table("defaults").items() if key in _NETWORK}
    for key, value in defaults.items():
        app.config.check(BY_NAME, "defaults", key, value)
    found = {key: Setting(value, "defaults") for key, value in defaults.items()}
    return found if region is None else found | {"sts_region": Setting(region, FLAG)}
