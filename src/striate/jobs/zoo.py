"""Makes the table of networks that the package ships: ``python -m striate.jobs.zoo``, or ``make zoo``."""

from __future__ import annotations

from striate import models, sizing
from striate.core.device import shapes_only
from striate.records import io
from striate.records.zoo import FORMAT, TABLE, Zoo, ZooRow


def build() -> Zoo:
    """The table, from the networks themselves; takes seconds and no memory."""
    entries = sorted(models.entries(), key=lambda entry: entry.paper.date)
    return Zoo(format=FORMAT, networks=tuple(_row(entry) for entry in entries))


def _row(entry: models.Entry) -> ZooRow:
    with shapes_only():
        model = entry.create()
    totals = sizing.measure(model, entry.input).totals
    return ZooRow(
        name=entry.name,
        aliases=models.REGISTRY.aliases(entry.name),
        family=entry.family,
        year=entry.paper.year,
        paper=str(entry.paper),
        input=entry.input,
        classes=entry.classes,
        params=totals.params,
        macs=totals.macs,
        units=totals.units,
        depth=totals.depth,
        receptive_field=totals.receptive_field,
        file_bytes=totals.file_bytes,
        stages=model.stages,
        task=entry.task,
    )


def main() -> None:
    """Write the table to its place in the package."""
    io.write(TABLE, build())


if __name__ == "__main__":
    main()
