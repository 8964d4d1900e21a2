"""``striate check``: the data, before any training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from striate.core.events import Listener
from striate.core.preprocess import Preprocess
from striate.data.audit import audit
from striate.data.digest import digests
from striate.data.index import scan
from striate.data.loaders import batches
from striate.records.io import to_json

_BATCH = 64
_LOOK = Preprocess(size=(16, 16))


def run(data: str | Path, root: str | Path | None, listener: Listener) -> dict[str, Any]:
    """Decode every picture, and say what is wrong with any of them or with all together.

    Args:
        data: As `data.index.scan` takes it.
        root: As `data.index.scan` takes it.
        listener: Hears of progress.

    Returns:
        ``classes`` (name to count), ``pictures`` (how many), ``problems`` (rows of `records.results.Problem`).

    Raises:
        DataError: The data cannot be trained on at all.
    """
    index = scan(data, root=root)
    hashes = digests(index, listener)
    listener.phase("decoding", len(index), "picture")
    unreadable: dict[int, str] = {}
    done = 0
    for batch in batches(index, range(len(index)), _LOOK, batch=_BATCH):
        unreadable |= batch.failed
        done += len(batch.positions)
        listener.step(done)
    problems = audit(index, hashes, unreadable=unreadable)
    return {"classes": index.counts(), "pictures": len(index), "problems": to_json(problems)}
