"""From a profile to a session: the chain of STS calls, approvals, cached or minted."""
