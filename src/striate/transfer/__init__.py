"""How much of a pretrained network to reuse, and the reuse itself."""
