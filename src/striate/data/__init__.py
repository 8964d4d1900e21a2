"""Labelled images: found, checked, split, decoded."""
