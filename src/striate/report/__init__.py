"""Records become sentences and one self-contained page."""
