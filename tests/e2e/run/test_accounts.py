"""The accounts that --accounts and --exclude name, with `all` from moto's Organizations."""

from __future__ import annotations

import json
import os
import re
import threading
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest

from credhelper.config import profiles
from credhelper.errors import ConfigError
from credhelper.run import accounts as run_accounts
from credhelper.run.accounts import Account

from moto_aws import moto_aws
from organization import Refusal
from sts import SOURCE_KEY_ID, SOURCE_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


ONE, TWO, THREE = "111122223333", "222233334444", "333344445555"
CONFIG = f"""
[accounts]
payments-prod = "{ONE}"
web = "{TWO}"

[profiles.audit-root]
task_policy_arn = "IAMAuditRootUserCredentials"
source_profile = "org-admin"
region = "eu-west-1"
"""
ORGANIZATION = [Account(ONE, "Payments of the organization"), Account(THREE, "Third")]


@pytest.fixture
def pick(tmp_path) -> Callable[..., list[Account]]:
    """Pick accounts for audit-root, in an organization of two."""

    def picked(*wanted: str, exclude: tuple[str, ...] = (), more: str = "", asked: Any = None) -> Any:
        path = tmp_path / "config.toml"
        path.write_text(CONFIG + more)
        loaded = profiles.load(str(path))
        asked = asked or (lambda: ORGANIZATION)
        return run_accounts.pick(loaded, loaded.open_profile("audit-root"), wanted, exclude, asked)

    return picked


def _ids(found: list[Account]) -> list[str]:
    return [account.id for account in found]


def _refuse_listing() -> list[Account]:
    raise AssertionError("the organization was asked")


class TestNames:
    def test_ids_and_aliases_are_picked_once_in_order(self, pick) -> None:
        found = pick(f"{THREE}, web,{TWO}", "payments-prod")

        assert found == [Account(THREE), Account(TWO, "web"), Account(ONE, "payments-prod")]

    def test_file_or_pipe_has_one_name_a_line_with_comments(self, pick, tmp_path, monkeypatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "a,b.txt").write_bytes(b"\xef\xbb\xbf# x\r\n\r\n  web  # the shop\r\n" + THREE.encode())
        (tmp_path / "closing").write_text(f"{THREE} # next week")
        (tmp_path / "ids").write_text("web")
        reader, writer = os.pipe()
        threading.Thread(target=lambda: (os.write(writer, THREE.encode()), os.close(writer))).start()

        assert _ids(pick(f"@{tmp_path}/a,b.txt")) == [TWO, THREE]
        assert _ids(pick(f"@/dev/fd/{reader}", "@~/ids")) == [THREE, TWO]
        os.close(reader)
        assert _ids(pick(f"{ONE},web,{THREE}", exclude=("web", f"@{tmp_path}/closing"))) == [ONE]

    @pytest.mark.parametrize(
        ("wanted", "exclude", "said"),
        [
            ("11112222333", "", "target '11112222333' is neither an account id nor an alias"),
            (
                "wbe",
                "",
                "target 'wbe' is neither an account id nor an alias from [accounts]; did you mean 'web'",
            ),
            ("all", "wbe", "target 'wbe' is neither an account id nor an alias"),
            ("web", "web", "no account is left"),
            (",", "", "no account is left"),
            ("web", "all", "'--exclude all' leaves no account"),
            ("@/nowhere", "", "cannot read '/nowhere': no such file or directory"),
            ("@/", "", "cannot read '/': is a directory"),
            ("@{tmp}/bad", "", "/bad' line 2: target 'x@y' is neither an account id nor an alias"),
            ("@{tmp}/latin", "", "/latin' is not UTF-8"),
            ("@{tmp}/huge", "", "/huge' is larger than 4 MiB"),
        ],
    )
    def test_bad_name_or_file_exits_2_before_listing_accounts(
        self, pick, tmp_path, wanted, exclude, said
    ) -> None:
        (tmp_path / "bad").write_text("web\nx@y\n")
        (tmp_path / "latin").write_bytes(b"# caf\xe9\n")
        (tmp_path / "huge").write_bytes(b"\n" * (run_accounts.LIMIT + 1))
        with pytest.raises(ConfigError) as caught:
            pick(wanted.replace("{tmp}", str(tmp_path)), exclude=(exclude,), asked=_refuse_listing)

        assert said in "; ".join((caught.value.sentence, *caught.value.hints))


class TestTargets:
    @pytest.mark.parametrize("rule", ['allow_targets = ["web"]', f'deny_targets = ["{THREE}"]'])
    def test_named_account_that_is_not_allowed_is_an_error(self, pick, rule) -> None:
        with pytest.raises(ConfigError, match=f"the target '{THREE}'"):
            pick(f"all,web,{THREE}".replace("all,", ""), "all", more=rule, asked=_refuse_listing)
        assert _ids(pick(f"web,{THREE}", exclude=(THREE,), more=rule)) == [TWO]

    def test_all_means_the_allowed_accounts(self, pick) -> None:
        assert _ids(pick("all", more=f'deny_targets = ["{THREE}"]')) == [ONE]
        assert _ids(pick("all", more=f'allow_targets = ["{THREE}"]')) == [THREE]

    def test_all_uses_aliases_and_names_of_the_organization(self, pick) -> None:
        assert pick("all", "web") == [
            Account(TWO, "web"),
            Account(ONE, "payments-prod"),
            Account(THREE, "Third"),
        ]
        assert _ids(pick("all", THREE, exclude=("payments-prod",))) == [THREE]
        assert _ids(pick("web,all")) == [TWO, ONE, THREE]

    @pytest.mark.parametrize(
        ("state", "status", "active"),
        [
            ("ACTIVE", None, True),
            ("ACTIVE", "ACTIVE", True),
            (None, "ACTIVE", True),
            (None, None, True),
            ("PENDING_ACTIVATION", "ACTIVE", False),
            ("SUSPENDED", "SUSPENDED", False),
            ("CLOSED", "SUSPENDED", False),
            (None, "PENDING_CLOSURE", False),
        ],
    )
    def test_active_follows_state_then_status(self, state, status, active) -> None:
        account = {"Id": ONE, **{k: v for k, v in (("State", state), ("Status", status)) if v}}

        assert run_accounts._is_active(account) is active


@pytest.fixture(scope="module")
def organization() -> Iterator[Any]:
    """A client of moto's organization of 106 accounts: more than moto gives in one page."""
    key = {"aws_access_key_id": SOURCE_KEY_ID, "aws_secret_access_key": SOURCE_SECRET}
    with moto_aws() as url:
        session = botocore.session.Session()
        client = session.create_client("organizations", region_name="us-east-1", endpoint_url=url, **key)
        client.create_organization(FeatureSet="ALL")
        for number in range(105):
            client.create_account(Email=f"a{number}@example.com", AccountName=f"account {number}")
        yield client


def _members(organization: Any) -> list[dict[str, Any]]:
    pages = organization.get_paginator("list_accounts").paginate()
    return [account for page in pages for account in page["Accounts"] if account["Name"] != "master"]


ALL = ("exec", "audit-root", "--accounts", "all")
URL = "AWS_ENDPOINT_URL_ORGANIZATIONS"


class TestOrganization:
    def test_all_is_active_members_of_every_page_for_exec_and_setup(self, sandbox, organization) -> None:
        members = _members(organization)
        closed = members.pop(7)["Id"]
        organization.close_account(AccountId=closed)
        sandbox.environ[URL] = organization.meta.endpoint_url
        shown = sandbox.run(*ALL, "--dry-run", "--", "true").stdout
        assert sandbox.run("setup", "audit-root", "--accounts", "all").status == 0
        written = re.findall(r"\[profile audit-root@(\d+)\]", (sandbox.home / ".aws/config").read_text())

        expected = [{"account": account["Id"], "name": account["Name"]} for account in members]
        assert len(expected) == 104
        assert [json.loads(line) for line in shown.splitlines()] == expected
        assert written == [account["Id"] for account in members]

    def test_lines_have_the_names_of_the_organization(self, sandbox, organization, sts) -> None:
        members = _members(organization)
        left_out = ",".join(account["Id"] for account in members[2:])
        sandbox.environ[URL] = organization.meta.endpoint_url
        done = sandbox.run(*ALL, "--exclude", left_out, "--", "true")

        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert sorted(line["name"] for line in lines) == [account["Name"] for account in members[:2]]
        assert sts.count("AssumeRoot") == 2

    @pytest.mark.parametrize("code", ["AccessDeniedException", "AWSOrganizationsNotInUseException"])
    def test_refused_list_accounts_exits_4_with_a_hint(self, sandbox, aws, sts, code) -> None:
        model = botocore.session.Session().get_service_model("organizations").operation_model("ListAccounts")
        assert code in [shape.name for shape in model.error_shapes]
        aws.answers["organizations:ListAccounts"] = Refusal(code)
        shown = sandbox.refuses(4, *ALL, "--", "true")

        assert f"AWS refused 'organizations:ListAccounts' ({code})" in shown
        assert "name the accounts, or a file with @FILE" in shown
        assert not sts.calls
