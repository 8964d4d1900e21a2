"""Published weights: the catalogue, fetching, safe reading, name maps."""
