"""Rows of numbers on disk under keys that name content: nothing is computed twice, and nothing stale is read."""
