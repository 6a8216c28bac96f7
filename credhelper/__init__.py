"""credhelper gives AWS SDKs a profile whose credentials come from AssumeRoot or AssumeRole.

SDKs run `credhelper get NAME` as the `credential_process` of a profile and read the session from its
stdout. The session is minted once, cached in the OS keyring until it expires, and recorded in the audit log.

A Python program does not need that process:

    import credhelper

    session = credhelper.session("developer")                    # a boto3.Session that renews its credentials
    credentials = credhelper.get("audit-root@payments-prod", reason="ticket 4711")

Both take the keys of a profile as overrides, and raise CredhelperError.
"""

TYPE_CHECKING = False  # a cached answer comes through here, and imports nothing
if TYPE_CHECKING:
    from credhelper.api import Overrides, get, session
    from credhelper.credentials import Credentials
    from credhelper.errors import (
        ConfigError,
        CredhelperError,
        InteractionError,
        RefusedError,
        SourceError,
        UnreachableError,
    )

__version__ = "0.1.0"
__all__ = [
    "ConfigError",
    "Credentials",
    "CredhelperError",
    "InteractionError",
    "Overrides",
    "RefusedError",
    "SourceError",
    "UnreachableError",
    "get",
    "session",
]

if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> object:
        """The public names, each loaded on first use (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module 'credhelper' has no attribute '{name}'")
        from importlib import import_module

        modules = {"Credentials": "credentials", "Overrides": "api", "get": "api", "session": "api"}
        found = getattr(import_module(f"credhelper.{modules.get(name, 'errors')}"), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        """The public names too, before they are loaded."""
        return sorted([*globals(), *__all__])
