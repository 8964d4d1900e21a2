"""What a network costs before it runs."""
