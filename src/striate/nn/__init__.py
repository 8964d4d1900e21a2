"""Layers that several papers use."""
