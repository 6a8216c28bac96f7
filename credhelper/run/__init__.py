"""Running commands with credentials: processes, exported variables, the loopback endpoint, many accounts."""
