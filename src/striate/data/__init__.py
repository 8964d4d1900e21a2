"""Labelled pictures: found, checked, split, decoded."""
