"""Sessions at rest: the OS keyring, the index of its items, and file locks."""
