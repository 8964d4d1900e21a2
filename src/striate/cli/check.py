"""``striate check``: the data, before any training."""

from __future__ import annotations

from striate.cli.options import Data, Debug, Json, Root
from striate.cli.session import command, print_json


def check(data: Data, root: Root = None, json: Json = False, debug: Debug = False) -> None:
    """Look labelled pictures over before any training: classes, unreadable files, doubles, contradictions."""
    with command(debug=debug) as listener:
        from striate.jobs import check as job

        found = job.run(data, root, listener)
    if json:
        print_json(found)
        return
    from striate.cli.tables import show_check

    show_check(found)
