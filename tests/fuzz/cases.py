"""Reads small files that once broke a reader, through the command line and from Python.

    python tests/fuzz/cases.py ../shared/cases

Every file must be read, or refused with exit code 1 by an error of ours, within 10 s and 1 GiB. The command prints a
row per file and exits with 1 if one of them is not.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_readers import mnist, weights_beside
from PIL import Image

LIMIT_S, LIMIT_BYTES = 10.0, 1 << 30


@dataclass(frozen=True, slots=True)
class Case:
    """A file, and two ways in.

    Args:
        name: Its path below the folder of cases.
        command: Arguments of `striate`; None if no command reads such files.
        call: Reads it from Python.
    """

    name: str
    command: list[str] | None
    call: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one way in: ``read``, ``refused``, or a fault in words."""

    result: str
    seconds: float
    grown_bytes: int
    said: str


def cases(root: Path, work: Path) -> Iterator[Case]:
    """Every file below a folder, with what reads its kind."""
    import striate
    from striate.data import digest
    from striate.weights.trained import CARD

    image = work / "image.png"
    Image.fromarray(np.full((32, 32), 90, np.uint8)).save(image)
    for path in sorted(each for each in root.rglob("*") if each.is_file() and each.name != "README.md"):
        name, kind = str(path.relative_to(root)), path.relative_to(root).parts[0]
        if kind == "fuzz":
            kind = path.name.partition(".")[0]
            path = _copy(path, work / f"{path.name}.{kind}")
        if kind in ("weights", "h5", "npz", "pt"):
            weights = f"resnet18:{path}"
            yield Case(name, ["predict", weights, str(image)], _calling(striate.load, weights))
        elif kind in ("archives", "zip", "parquet"):
            yield Case(name, ["check", str(path)], _calling(striate.check, str(path)))
        elif kind == "cards":
            folder = work / path.stem
            folder.mkdir()
            _copy(path, folder / CARD)
            for other, content in weights_beside().items():
                (folder / other).write_bytes(content)
            yield Case(name, ["predict", str(folder), str(image)], _calling(striate.load, str(folder)))
        elif kind == "pic":
            yield Case(name, ["predict", "lenet5:default", str(path)], _predicting(striate, path))
        elif kind == "idx":
            folder = work / f"mnist-{path.stem}"
            folder.mkdir()
            for other, content in mnist().items():
                (folder / other).write_bytes(content)
            _copy(path, folder / "train-images-idx3-ubyte")
            command = ["check", "mnist", "--root", str(folder)]
            yield Case(name, command, _calling(striate.check, "mnist", root=folder))
        elif kind == "npy":
            yield Case(name, None, _calling(digest.count_in_set, path, ["0" * 64]))
        elif path.suffix == ".toml":
            out = str(work / f"run-{path.stem}")
            command = ["train", "lenet5", "digits", "--recipe", str(path), "--out", out]
            yield Case(name, command, _calling(striate.train, "lenet5", "digits", recipe=str(path), out=f"{out}-2"))


def _copy(path: Path, to: Path) -> Path:
    shutil.copyfile(path, to)
    return to


def _calling(function: Callable[..., Any], *arguments: Any, **named: Any) -> Callable[[], Any]:
    return lambda: function(*arguments, **named)


def _predicting(striate: Any, path: Path) -> Callable[[], Any]:
    return lambda: striate.load("lenet5:default").predict(path)


def by_command(arguments: list[str]) -> tuple[str, str]:
    """Run the command line in this process."""
    from striate.cli import main

    sys.argv = ["striate", *arguments]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            main()
            code: Any = 0
        except SystemExit as stopped:
            code = stopped.code or 0
    text = said.getvalue()
    if "Traceback" in text:
        return "traceback", text
    return {0: "read", 1: "refused"}.get(code, f"exit {code}"), text


def by_call(call: Callable[[], Any]) -> tuple[str, str]:
    """Run a call in this process."""
    from striate.core.errors import StriateError

    try:
        call()
    except StriateError as error:
        return "refused", str(error)
    except BaseException as error:
        return type(error).__name__, str(error)
    return "read", ""


def limited(work: Callable[[], tuple[str, str]]) -> Outcome:
    """Run something in a child of this process with limits of time and memory."""
    receive, send = os.pipe()
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(receive)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            result, said = work()
        except BaseException as error:
            result, said = type(error).__name__, str(error)
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        with os.fdopen(send, "wb") as stream:
            pickle.dump((result, said, grown), stream)
        os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as stream:
        ready, _, _ = select.select([stream], [], [], LIMIT_S)
        seconds = time.perf_counter() - began
        content = stream.read() if ready else b""
        if not content:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not content:
        return Outcome("crashed" if ready else "too slow", seconds, 0, f"status {status}")
    result, said, grown = pickle.loads(content)  # made by our own child
    return Outcome("too much memory" if grown > LIMIT_BYTES else result, seconds, grown, said)


def main() -> int:
    """Read every case, and print a table."""
    root = Path(sys.argv[1])
    os.environ |= {"STRIATE_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    import striate.cli.app
    import striate.jobs.predict  # noqa: F401 - loaded once, before the children

    print(f"{'file':44} {'command':>10} {'Python':>10} {'s':>6} {'MiB':>5}  says")
    wrong = count = 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STRIATE_HOME"] = f"{folder}/home"
        (work := Path(folder) / "work").mkdir()
        for case in cases(root, work):
            command = case.command
            ways = [limited(lambda call=case.call: by_call(call))]
            if command is not None:
                ways.insert(0, limited(lambda arguments=command: by_command(arguments)))
            results = ["-", *(way.result for way in ways)][-2:]
            good = all(way.result in ("read", "refused") for way in ways)
            wrong, count = wrong + (not good), count + 1
            said = " ".join((ways[0].said if good and ways[0].result == "refused" else ways[-1].said).split())
            seconds, grown = max(way.seconds for way in ways), max(way.grown_bytes for way in ways) >> 20
            print(
                f"{case.name:44} {results[0]:>10} {results[1]:>10} {seconds:6.2f} {grown:5}  {said[:110]}", flush=True
            )
    print(f"{count} files, {wrong} neither read nor refused in time and memory")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
