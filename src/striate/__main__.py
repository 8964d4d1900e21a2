"""``python -m striate`` is the ``striate`` command."""

from __future__ import annotations

from striate.cli import main

if __name__ == "__main__":
    main()
