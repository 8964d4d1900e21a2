"""The commands of ``striate`` as Python functions."""
