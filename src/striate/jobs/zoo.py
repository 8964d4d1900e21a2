"""Makes the table of networks that the package ships: ``python -m striate.jobs.zoo``, or ``make zoo``."""

from __future__ import annotations

from striate import models, sizing
from striate.core.meta import shapes_only
from striate.records import io
from striate.records.sizes import SizeTotals
from striate.records.zoo import FORMAT, TABLE, Zoo, ZooRow


def build() -> Zoo:
    """The table, from the networks themselves; takes seconds and no memory."""
    rows = []
    for entry in in_order():
        with shapes_only():
            model = entry.create()
        rows.append(row(entry, model, sizing.measure(model, entry.input).totals))
    return Zoo(format=FORMAT, networks=tuple(rows))


def in_order() -> list[models.Entry]:
    """Every network, the oldest paper first."""
    return sorted(models.entries(), key=lambda entry: entry.paper.date)


def row(entry: models.Entry, model: models.StagedModel, totals: SizeTotals) -> ZooRow:
    """What the table says of a network."""
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
        aux_params=totals.aux_params,
    )


def main() -> None:
    """Write the table to its place in the package."""
    io.write(TABLE, build())


if __name__ == "__main__":
    main()
