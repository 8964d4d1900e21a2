"""What a run computed with."""

from __future__ import annotations

import platform
from importlib import metadata

from striate.core.version import __version__


def versions() -> dict[str, str]:
    """Versions of striate, Python, and the libraries whose numbers a run depends on."""
    known = {"striate": __version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "pillow", "openvino", "scikit-learn"):
        try:
            known[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            known[name] = "none"
    return known
