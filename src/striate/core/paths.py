"""Folders and settings from environment variables. No other module reads the environment."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """The folder for downloaded weights and cached features: ``STRIATE_HOME``, or the platform's cache folder."""
    named = os.environ.get("STRIATE_HOME")
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("striate"))


def offline() -> bool:
    """Whether ``STRIATE_OFFLINE`` disables downloads: any value except 0, no, false, off and the empty string does."""
    return os.environ.get("STRIATE_OFFLINE", "").strip().lower() not in {"", "0", "no", "false", "off"}


def weight_folders() -> list[Path]:
    """Folders to search for weights first: ``STRIATE_WEIGHTS``, with the same separator as ``PATH``."""
    named = os.environ.get("STRIATE_WEIGHTS", "")
    return [Path(each).expanduser() for each in named.split(os.pathsep) if each]
