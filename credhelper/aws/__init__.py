"""Everything that imports botocore: STS and other AWS calls, source credentials, AWS errors as sentences."""
