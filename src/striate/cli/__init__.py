"""The command line: one small module per command."""

from __future__ import annotations


def main() -> None:
    """Run the command in ``sys.argv``. This is the entry point of ``striate``; it never returns.

    Exit codes: 0 success, 1 error, 2 wrong usage, 130 interrupted.
    """
    import warnings

    from striate.cli.app import run

    # Pillow warns of damaged metadata and of large images; we say the same in our own words, with the files' names.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    run()
