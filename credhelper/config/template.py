"""The first configuration file, which `setup` writes."""

from __future__ import annotations

from typing import Final

STARTER: Final = """\
# credhelper: the sessions that it gives to AWS SDKs and the AWS CLI.
#
# 1. Fill in what is yours. Everything below is an example: remove the '# ' before a line to use it.
# 2. Run 'credhelper setup': each profile of this file becomes one of ~/.aws/config.
# 3. Use it: aws sts get-caller-identity --profile developer
#
# Keys are spelt as the STS API and ~/.aws/config spell them. 'credhelper get --help' lists them all.

# Names for account ids: shown in prompts and in the audit log, and usable as targets.
[accounts]
# payments-prod = "111122223333"

# What all profiles inherit.
[defaults]
# source_profile = "org-admin"  # whose credentials make the calls: a profile of ~/.aws, or one of this file
# region = "eu-west-1"  # AssumeRoot needs one: the global endpoint of STS does not offer it


# ---- AssumeRole: it has a role -----------------------------------------------------------------------------

# [profiles.developer]
# role_arn = "arn:aws:iam::222233334444:role/Developer"
# mfa_serial = "arn:aws:iam::999988887777:mfa/me"  # one code lasts for all roles with this device


# ---- AssumeRoot: one root task in a member account, 15 minutes at most -------------------------------------

# Root sessions stay out of the keyring: with cache = "memory" only the agent remembers them. They last
# minutes and AWS cannot revoke them, so no copy should outlive a logout or get into a backup.

# [profiles.unlock-bucket]
# target_principal = "payments-prod"
# task_policy_arn = "S3UnlockBucketPolicy"  # or SQSUnlockQueuePolicy, and the three of IAM
# cache = "memory"
# require_reason = true  # ask why, for the audit log

# Without a target of its own it takes any account: audit-root@payments-prod, audit-root@111122223333.
# 'credhelper setup audit-root --accounts payments-prod' writes such profiles.
# [profiles.audit-root]
# task_policy_arn = "IAMAuditRootUserCredentials"
# cache = "memory"
# allow_targets = ["payments-prod"]  # the only accounts it may be used on
"""
"""It is valid as it is, without a profile, and with every '# ' before a key or a table removed."""
