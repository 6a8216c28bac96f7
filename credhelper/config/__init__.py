"""config.toml: the table of keys, parsing, validation, profiles, JSON Schema and template."""
