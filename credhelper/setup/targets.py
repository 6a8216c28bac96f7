"""The accounts that `--accounts` means for a profile whose target is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from credhelper import accounts

if TYPE_CHECKING:
    from credhelper.accounts import Account
    from credhelper.house import House
    from credhelper.setup.plan import Wish


def targets(house: House, wish: Wish, name: str) -> list[str]:
    """Their aliases where they have one, else their ids. Raises CredhelperError."""
    config = house.config
    profile = config.open_profile(name)

    def members() -> list[Account]:
        from credhelper.services import Services

        call = house.chains().call(profile)
        return accounts.of_organization(
            Services(call.endpoint, call.origin), house.resolver().source_keys(call)
        )

    picked = accounts.pick(config, profile, wish.accounts, (), members)
    return [config.account_name(each.id) or each.id for each in picked]
