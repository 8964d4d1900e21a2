"""Name maps from published checkpoints to our networks."""
