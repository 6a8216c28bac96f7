"""The per-user cache agent: server, memory, and the client that every command uses."""
