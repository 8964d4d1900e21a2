"""Plans and results: frozen, JSON-safe, free of torch."""
