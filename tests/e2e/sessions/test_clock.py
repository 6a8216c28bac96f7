"""Clocks that jump, on the real program under libfaketime."""

from __future__ import annotations

import pytest

import requirements


@pytest.fixture(name="faked")
def _faked() -> dict[str, str]:
    return {"LD_PRELOAD": requirements.faketime(), "DONT_FAKE_MONOTONIC": "1"}


@pytest.mark.parametrize("jump", ["+1h", "-1h", "+4m", "-4m"])
def test_a_jump_of_the_wall_clock_mints_at_most_twice(sandbox, sts, secret_service, faked, jump: str) -> None:
    sts.check_clock = False
    sandbox.get("developer")
    for _ in range(3):
        result = sandbox.run_unchecked("get", "developer", FAKETIME=jump, **faked)
        assert result.status == 0, result
    sandbox.get("developer")
    assert sts.count() <= 2


def test_a_wall_clock_set_back_does_not_end_a_session_early(sandbox, sts, secret_service, faked) -> None:
    command = ["get", "developer", "--duration-seconds", "900", "--min-remaining", "440"]
    sandbox.run(*command)
    key = sts.issued[-1]["AccessKeyId"]
    sts.check_clock = False
    result = sandbox.run_unchecked(*command, FAKETIME="-1h", **faked)
    assert result.envelope["AccessKeyId"] == key  # the boot clock says that almost no time has passed


@pytest.mark.parametrize(("jump", "said"), [("+1h", "60 min ahead of AWS's"), ("-1h", "60 min behind AWS's")])
def test_a_wrong_clock_is_named_in_the_error(sandbox, faked, jump: str, said: str) -> None:
    stderr = sandbox.refuses(4, "get", "developer", FAKETIME=jump, **faked)
    assert f"this machine's clock is wrong: it is {said}" in stderr
