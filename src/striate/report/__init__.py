"""Records become one self-contained page."""
