"""Where each key of a profile stands: flag, file and line, environment; and how much of it is shown."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from credhelper.awsconfig import profiles
from credhelper.config.keys import BY_NAME
from credhelper.config.profiles import FLAG
from credhelper.config.toml import line_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from credhelper.app import App
    from credhelper.awsconfig.profiles import AwsFiles
    from credhelper.config.profiles import Profile, Setting
    from credhelper.sessions.calls import StsCall
    from credhelper.sessions.sources import CredentialSource

Document = dict[str, Any]


def sent(members: Mapping[str, Any]) -> Document:
    """An assertion is signed and may be good for a session by itself: only its size is shown."""
    contexts = [
        {**each, "ContextAssertion": f"({len(str(each.get('ContextAssertion', '')))} characters)"}
        for each in members.get("ProvidedContexts", ())
    ]
    return {**members, "ProvidedContexts": contexts} if contexts else dict(members)


def shown(key: str, value: Any) -> Any:
    """A value without what may be secret in it: a seed among a program's arguments, a password in a URL."""
    if key == "mfa_command" and isinstance(value, list) and len(value) > 1:
        return [value[0], f"({len(value) - 1} more)"]
    if key == "provided_contexts" and isinstance(value, list):
        return sent({"ProvidedContexts": [each for each in value if isinstance(each, dict)]}).get(
            "ProvidedContexts", []
        )
    return without_password(value) if key == "endpoint_url" else _plain(value)


def _plain(value: Any) -> Any:
    """TOML's dates, and the numbers that JSON has no word for, as text."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value if isinstance(value, (str, int, type(None))) else str(value)


def without_password(url: Any) -> Any:
    """A URL whose user and password are left out."""
    return re.sub(r"//[^/@]*@", "//...@", url) if isinstance(url, str) else url


def entry(
    key: str, value: Any, origin: str, place: tuple[str, int] | None = None, within: str | None = None
) -> Document:
    """A key that takes effect: where it comes from, and in which table of which file it stands."""
    file, line = place or (None, None)
    return {"key": key, "value": shown(key, value), "from": origin, "file": file, "line": line, "in": within}


class Places:
    """Where everything stands: the flags, our file, and AWS's."""

    def __init__(self, app: App, flags: Mapping[str, Any]) -> None:
        self._app = app
        self._flags = flags
        self._config = app.config

    @cached_property
    def _files(self) -> AwsFiles:
        return profiles.read(self._app.environ)

    def _line(self, table: str, key: str = "") -> tuple[str, int]:
        return self._config.path, line_of(self._config.text, table, key)

    def settings(self, profile: Profile) -> list[Document]:
        """The keys of a profile, in the order of the documentation; what is no key comes last."""
        names = [
            *(key for key in BY_NAME if key in profile.settings),
            *(key for key in profile.settings if key not in BY_NAME),
        ]
        return [self._of(key, profile.settings[key]) for key in names]

    def _of(self, key: str, setting: Setting) -> Document:
        if setting.table == FLAG:
            return entry(key, setting.value, "flag" if key in self._flags else "name")
        origin = "defaults" if setting.table == "defaults" else "profile"
        return entry(key, setting.value, origin, self._line(setting.table, key), setting.table)

    def around(self, call: StsCall) -> Iterator[Document]:
        """What is set, but not by the profile: the region, the endpoint."""
        environ, settings = self._app.environ, call.profile.settings
        if not {"sts_region", "region"} & settings.keys():
            name = next((name for name in ("AWS_REGION", "AWS_DEFAULT_REGION") if environ.get(name)), None)
            origin = "environment" if name else "source" if call.source.region else "built-in"
            yield entry("region", call.endpoint.region, origin, within=name)
        if call.endpoint.url and "endpoint_url" not in settings:
            names = ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL")
            name = next((name for name in names if environ.get(name)), None)
            yield entry("endpoint_url", call.endpoint.url, "environment" if name else "source", within=name)

    def hop(self, call: StsCall, *, has_key: bool) -> Document:
        """One call of the chain, and where it is written down."""
        profile = call.profile
        place = self._line(f"profiles.{profile.name.partition('@')[0]}")
        if call.path[-1][0] != self._config.path:
            place = profiles.place_of(self._files, call.path[-1][1]) or (call.path[-1][0], 1)
        sent = call.parameters
        return {
            "profile": profile.name,
            "api": call.api,
            "target": sent.get("RoleArn") or sent.get("TargetPrincipal") or sent.get("SerialNumber"),
            "key": call.key if has_key else None,
            "file": place[0],
            "line": place[1],
        }

    def source(self, origin: CredentialSource) -> Document:
        """Whose credentials the first call is made with."""
        place = profiles.place_of(self._files, origin.name) if origin.place == "aws profile" else None
        return {
            "place": origin.place,
            "name": origin.name or None,
            "access_key_id": origin.identity[4:] if origin.identity.startswith("key:") else None,
            "lifetime": origin.lifetime,
            "login": origin.login or None,
            "file": place[0] if place else None,
            "line": place[1] if place else None,
        }
