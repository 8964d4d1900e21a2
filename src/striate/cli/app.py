"""The ``striate`` application. It imports nothing heavy, so that ``striate --help`` is fast."""

from __future__ import annotations

import errno
import sys
from types import TracebackType
from typing import Annotated

import typer

from striate.cli import streams
from striate.cli.bench import bench
from striate.cli.check import check
from striate.cli.evaluate import evaluate
from striate.cli.features import features
from striate.cli.fit import fit
from striate.cli.models import models
from striate.cli.predict import predict
from striate.cli.publish import publish
from striate.cli.show import show
from striate.cli.train import train
from striate.core import paths
from striate.core.version import __version__
from striate.records.recipes import recipe_names

app = typer.Typer(
    name="striate",
    help="Convolutional networks and transfer learning.",
    epilog="To try it without data of your own, run `striate fit digits`. "
    "Exit codes: 0 success, 1 error, 2 wrong usage, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for name, function, example in (
    ("fit", fit, "striate fit photos/ --budget 10m"),
    ("predict", predict, "striate predict runs/photos-1 new.jpg"),
    ("eval", evaluate, "striate eval runs/photos-1 more-photos/"),
    ("check", check, "striate check photos/ --augment modern"),
    ("models", models, "striate models --family resnet --weights"),
    ("show", show, "striate show resnet50 --memory 8GB"),
    ("bench", bench, "striate bench resnet18 mobilenet_v2"),
    ("train", train, "striate train resnet20_cifar photos/ --recipe cifar_short"),
    ("features", features, "striate features resnet50:imagenet1k_v2 photos --stage stage4 --out photos.npz"),
    ("publish", publish, "striate publish runs/photos-1 --licence cc-by-4.0"),
):
    recipes = f" Built-in recipes: {', '.join(recipe_names())}." if name == "train" else ""
    app.command(name, epilog=f"Example: {example}{'.' if recipes else ''}{recipes}")(function)


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""What writing to standard output raises when its disk is full or broken."""


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"striate {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool | None, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = None,
) -> None:
    pass


def _unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, OSError) and error.errno in _NO_ROOM and error.filename is None:
        typer.echo(f"error: the output cannot be written: {error.strerror}", err=True)
        return
    typer.echo(f"error: {kind.__name__}: {error}".rstrip(": "), err=True)
    typer.echo("hint: this is a bug in Striate; run the same command with --debug to see the traceback", err=True)


def run() -> None:
    """Run the command in ``sys.argv``; never returns."""
    streams.prepare()
    paths.name_home()
    command = typer.main.get_command(app)  # calling the app itself would install typer's own exception hook
    if "--debug" not in sys.argv[1:]:
        sys.excepthook = _unexpected
    command(prog_name="striate")
