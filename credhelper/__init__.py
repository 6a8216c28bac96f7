"""credhelper gives AWS SDKs a profile whose credentials come from AssumeRoot or AssumeRole.

SDKs run `credhelper get NAME` as the `credential_process` of a profile and read the session from its
stdout. The session is minted once, kept in the OS keyring until it expires, and every mint is recorded.
"""

__version__ = "0.1.0"
