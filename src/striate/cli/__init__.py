"""The command line: one small module per command."""

from __future__ import annotations


def main() -> None:
    """Run the command in ``sys.argv``. This is the entry point of ``striate``; it never returns.

    Exit codes: 0 success, 1 error, 2 wrong usage, 130 interrupted.
    """
    import sys
    import warnings

    try:
        from striate.cli.app import run

        # Pillow warns of damaged metadata and of large images; we say the same, with the files' names.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        run()
    except KeyboardInterrupt:  # before the command has begun, while it is imported
        sys.stderr.write("interrupted\n")
        sys.exit(130)
