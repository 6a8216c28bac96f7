"""Long-lived access keys in the OS keyring: add, list, remove, rotate."""
