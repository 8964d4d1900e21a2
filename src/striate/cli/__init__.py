"""The command line: one small module a verb."""

from __future__ import annotations


def main() -> None:
    """Run the command that was typed. This is the entry point of ``striate``; it never returns.

    Exit codes: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted.
    """
    from striate.cli.app import run

    run()
