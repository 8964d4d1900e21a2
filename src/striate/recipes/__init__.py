"""Training recipes, one TOML file each. `striate.records.recipes` reads them."""
