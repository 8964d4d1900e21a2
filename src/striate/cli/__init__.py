"""The command line: one small module per command."""

from __future__ import annotations


def main() -> None:
    """Run the command in ``sys.argv``. This is the entry point of ``striate``; it never returns.

    Exit codes: 0 success, 1 error, 2 wrong usage, 130 interrupted.
    """
    from striate.cli.app import run

    run()
