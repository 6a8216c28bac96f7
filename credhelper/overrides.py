"""The keys of a profile as Python's keyword arguments, so that type checkers and editors know them.

`vocabulary.py` has their meaning and limits; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # noqa: TC003 - programs may ask for the types
from typing import Literal, TypedDict


class Overrides(TypedDict, total=False):
    """What `get` and `session` take beside the name; None counts as not given."""

    reason: str | None
    yes: bool | None

    target_principal: str | None
    task_policy_arn: str | None
    role_arn: str | None
    role_session_name: str | None
    policy: str | None
    policy_arns: Sequence[str] | None
    tags: Mapping[str, str] | None
    transitive_tag_keys: Sequence[str] | None
    external_id: str | None
    source_identity: str | None
    provided_contexts: Sequence[Mapping[str, str]] | None
    mfa_serial: str | None
    duration_seconds: int | None
    minimum_session_token_size: int | None
    source_profile: str | None
    credential_source: Literal["Environment", "Ec2InstanceMetadata", "EcsContainer"] | None
    source_key: str | None
    region: str | None
    sts_region: str | None
    endpoint_url: str | None
    ca_bundle: str | None
    connect_timeout: int | None
    read_timeout: int | None
    use_fips_endpoint: bool | None
    use_dualstack_endpoint: bool | None
    mfa_command: Sequence[str] | None
    mfa_session: bool | None
    mfa_duration_seconds: int | None
    confirm: bool | None
    confirm_for: int | None
    require_reason: bool | str | None
    renew_for: int | None
    allow_targets: Sequence[str] | None
    deny_targets: Sequence[str] | None
    cache: bool | Literal["memory"] | None
    min_remaining: int | None
    description: str | None
