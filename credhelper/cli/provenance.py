"""Where each setting of a profile comes from: flag, file and line, environment or default."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from credhelper import expiry
from credhelper.awsconfig import profiles
from credhelper.config.keys import BY_NAME, KEYS
from credhelper.config.settings import FLAG
from credhelper.config.toml import line_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from credhelper.app import App
    from credhelper.awsconfig.profiles import AwsFiles
    from credhelper.config.profiles import Profile
    from credhelper.config.settings import Setting
    from credhelper.sessions.calls import StsCall
    from credhelper.sessions.sources import CredentialSource

Document = dict[str, Any]


def without_assertions(members: Mapping[str, Any]) -> Document:
    """The parameters with only the size of context assertions, which are signed credentials."""
    contexts = [
        {**each, "ContextAssertion": f"({len(str(each.get('ContextAssertion', '')))} characters)"}
        for each in members.get("ProvidedContexts", ())
        if isinstance(each, dict)
    ]
    return {**members, "ProvidedContexts": contexts} if "ProvidedContexts" in members else dict(members)


def masked(key: str, value: Any) -> Any:
    """A value without its secrets: the arguments of a program, a password in a URL, an assertion."""
    if key == "mfa_command" and isinstance(value, list) and len(value) > 1:
        return [value[0], f"({len(value) - 1} more)"]
    if key == "provided_contexts" and isinstance(value, list):
        return without_assertions({"ProvidedContexts": value})["ProvidedContexts"]
    return without_password(value) if key == "endpoint_url" else _for_json(value)


def _for_json(value: Any) -> Any:
    """The value with dates and numbers that JSON cannot represent as text."""
    if isinstance(value, dict):
        return {key: _for_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_for_json(each) for each in value]
    return value if isinstance(value, (str, int, type(None))) else str(value)


def without_password(url: Any) -> Any:
    """The URL without user and password."""
    return re.sub(r"//[^/@]*@", "//...@", url) if isinstance(url, str) else url


def _setting(
    key: str, value: Any, origin: str, place: tuple[str, int] | None = None, within: str | None = None
) -> Document:
    file, line = place or (None, None)
    return {"key": key, "value": masked(key, value), "from": origin, "file": file, "line": line, "in": within}


def defaults(profile: Profile, *, asks: bool) -> list[Document]:
    """The settings that are not set and take effect by default; `asks`: a mint of the profile prompts."""
    floor = int(expiry.SERVABLE if asks else expiry.floor(profile.get("duration_seconds")))
    without_effect = set() if profile.confirm else {"confirm_for"}
    if not profile.get("mfa_serial"):
        without_effect |= {"mfa_session", "mfa_duration_seconds"}
    return [
        _setting(key.name, value, "built-in")
        for key in KEYS
        if profile.kind in key.kinds and key.name not in profile.settings.keys() | without_effect
        if (value := floor if key.name == "min_remaining" else key.default_for(profile.kind)) is not None
    ]


class Provenance:
    """The origins of settings: the flags, config.toml, the environment, and the AWS files."""

    def __init__(self, app: App, flags: Mapping[str, Any]) -> None:
        self._environ = app.environ
        self._flags = flags
        self._config = app.config

    @cached_property
    def _files(self) -> AwsFiles:
        return profiles.read(self._environ)

    def _line(self, table: str, key: str = "") -> tuple[str, int]:
        return self._config.path, line_of(self._config.text, table, key)

    def settings(self, profile: Profile) -> list[Document]:
        """The settings of a profile, in the order of the documentation; unknown keys come last."""
        known = [key for key in BY_NAME if key in profile.settings]
        return [self._of(key, profile.settings[key]) for key in dict.fromkeys((*known, *profile.settings))]

    def _of(self, key: str, setting: Setting) -> Document:
        if setting.table == FLAG:
            return _setting(key, setting.value, "flag" if key in self._flags else "name")
        origin = "defaults" if setting.table == "defaults" else "profile"
        return _setting(key, setting.value, origin, self._line(setting.table, key), setting.table)

    def around(self, call: StsCall) -> Iterator[Document]:
        """The region and the endpoint where the profile does not set them."""
        settings = call.profile.settings
        if not {"sts_region", "region"} & settings.keys():
            fallback = "source" if call.source.region else "built-in"
            yield self._variable(
                "region", call.endpoint.region, ("AWS_REGION", "AWS_DEFAULT_REGION"), fallback
            )
        if call.endpoint.url and "endpoint_url" not in settings:
            names = ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL")
            yield self._variable("endpoint_url", call.endpoint.url, names, "source")

    def _variable(self, key: str, value: str, names: tuple[str, ...], fallback: str) -> Document:
        name = next((name for name in names if self._environ.get(name)), None)
        return _setting(key, value, "environment" if name else fallback, within=name)

    def hop(self, call: StsCall, *, has_key: bool) -> Document:
        """One call of the chain, with the file and line of its profile."""
        profile, sent = call.profile, call.parameters
        file, line = self._line(f"profiles.{profile.name.partition('@')[0]}")
        if call.path[-1][0] != self._config.path:
            file, line = profiles.place_of(self._files, call.path[-1][1]) or (call.path[-1][0], 1)
        return {
            "profile": profile.name,
            "api": call.api,
            "target": sent.get("RoleArn") or sent.get("TargetPrincipal") or sent.get("SerialNumber"),
            "key": call.key if has_key else None,
            "file": file,
            "line": line,
        }

    def source(self, origin: CredentialSource) -> Document:
        """The source credentials of the chain."""
        place = profiles.place_of(self._files, origin.name) if origin.place == "aws profile" else None
        file, line = place or (None, None)
        return {
            "place": origin.place,
            "name": origin.name or None,
            "access_key_id": origin.identity[4:] if origin.identity.startswith("key:") else None,
            "lifetime": origin.lifetime,
            "login": origin.login or None,
            "file": file,
            "line": line,
        }
