"""The accounts that `--accounts` means for a profile whose target is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from credhelper.run import accounts

if TYPE_CHECKING:
    from credhelper.app import App
    from credhelper.awsconfig.plan import SetupOptions
    from credhelper.run.accounts import Account


def targets(app: App, options: SetupOptions, name: str) -> list[str]:
    """Their aliases where they have one, else their ids. Raises CredhelperError."""
    config = app.config
    profile = config.open_profile(name)

    def members() -> list[Account]:
        from credhelper.aws.services import Services

        call = app.planner().call(profile)
        return accounts.of_organization(Services(call.endpoint, call.source), app.provider().source_key(call))

    picked = accounts.pick(config, profile, options.accounts, (), members)
    return [config.account_name(each.id) or each.id for each in picked]
