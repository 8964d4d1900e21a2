"""Where things are kept. The environment is read here and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """The folder of downloaded weights and cached features: ``STRIATE_HOME``, else the platform's cache folder."""
    named = os.environ.get("STRIATE_HOME")
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("striate"))


def offline() -> bool:
    """Whether downloads are forbidden (``STRIATE_OFFLINE`` set to anything but 0, no, false, off or nothing)."""
    return os.environ.get("STRIATE_OFFLINE", "").strip().lower() not in {"", "0", "no", "false", "off"}


def weight_folders() -> list[Path]:
    """Extra folders of checkpoints to look in first: ``STRIATE_WEIGHTS``, parted as ``PATH`` is."""
    named = os.environ.get("STRIATE_WEIGHTS", "")
    return [Path(each).expanduser() for each in named.split(os.pathsep) if each]
