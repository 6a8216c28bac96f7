"""The API forms: the command lines of `aws sts assume-root` and `aws sts assume-role`."""
