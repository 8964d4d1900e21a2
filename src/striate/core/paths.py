"""Folders and settings from environment variables. No other module reads the environment."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from functools import cache
from pathlib import Path

import platformdirs

from striate.core.errors import PlanError

log = logging.getLogger(__name__)


def home() -> Path:
    """The folder for downloaded weights and cached features: ``STRIATE_HOME``, or the platform's cache folder.

    If the platform names no cache folder (no ``HOME``, and a user without an entry), or nothing can be written there,
    it is a folder of this user among the temporary files.

    Raises:
        PlanError: ``STRIATE_HOME`` begins with ``~``, and the home folder is not known.
    """
    if named := os.environ.get("STRIATE_HOME"):
        return _expanded("STRIATE_HOME", named)
    folder = _default_home()
    if folder is None:
        return _temporary_home("the home folder of this user is not known")
    return folder if _writable(folder) else _temporary_home(f"{folder} cannot be written")


def name_home() -> None:
    """Set ``HOME`` for the libraries of this process, if the home folder of this user is not known: some need one."""
    if os.path.expanduser("~") == "~":  # noqa: PTH111 - Path.home raises instead
        os.environ["HOME"] = str(home())


def offline() -> bool:
    """Whether ``STRIATE_OFFLINE`` disables downloads: any value except 0, no, false, off and the empty string does."""
    return os.environ.get("STRIATE_OFFLINE", "").strip().lower() not in {"", "0", "no", "false", "off"}


def weight_folders() -> list[Path]:
    """Folders to search for weights first: ``STRIATE_WEIGHTS``, with the same separator as ``PATH``.

    A cache folder of the platform that can be read but not written comes last.

    Raises:
        PlanError: One begins with ``~``, and the home folder is not known.
    """
    named = os.environ.get("STRIATE_WEIGHTS", "")
    folders = [_expanded("STRIATE_WEIGHTS", each) for each in named.split(os.pathsep) if each]
    if not os.environ.get("STRIATE_HOME"):
        default = _default_home()
        if default is not None and (default / "weights").is_dir() and not _writable(default):
            folders.append(default / "weights")
    return folders


def _default_home() -> Path | None:
    """The platform's cache folder; None if it is not known."""
    try:
        folder = Path(platformdirs.user_cache_dir("striate"))
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None  # older versions of platformdirs answer ~/.cache


def _expanded(variable: str, named: str) -> Path:
    try:
        return Path(named).expanduser()
    except RuntimeError as error:
        raise PlanError(
            f"{variable} is {named!r}, and the home folder of this user is not known", hint="write the whole path"
        ) from error


def _writable(folder: Path) -> bool:
    """Whether a folder, or the folder in which it would be made, can be written."""
    existing = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    return os.access(existing, os.W_OK | os.X_OK)


@cache
def _temporary_home(reason: str) -> Path:
    """A folder that only this user can read and write; the first call says where it is, and why."""
    folder = Path(tempfile.gettempdir()) / f"striate-{_owner()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid == _owner() and not found.st_mode & 0o077
    except OSError:
        ours = False
    if not ours:  # somebody else made it; what they put into it must not be read
        folder = Path(tempfile.mkdtemp(prefix="striate-"))
    log.warning("%s; weights and features are kept in %s (STRIATE_HOME names another folder)", reason, folder)
    return folder


def _owner() -> int:
    """The number of this user, as `os.stat` gives it: 0 on Windows."""
    return os.getuid() if os.name == "posix" else 0
