"""Training recipes: one TOML file each, read by striate.records.recipes."""
