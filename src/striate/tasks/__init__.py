"""Where networks, pictures and training meet."""
