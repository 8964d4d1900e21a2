"""Where networks, images and training meet."""
