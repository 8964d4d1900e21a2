"""The folder of a run: claimed for one plan, logged to, gone on with, never overwritten."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, final

from filelock import FileLock, Timeout

from striate import tasks
from striate.core.atomic import explain, make_folder
from striate.core.errors import PlanError
from striate.records import io

T = TypeVar("T")

PLAN, METRICS, LOG, WORK, LOCK = "plan.json", "metrics.json", "log.jsonl", "work", "lock"
_LOCKS: dict[Path, FileLock] = {}
_CLAIMS: dict[Path, Claim] = {}
"""Of the folders that this process has claimed, by the path of the lock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A folder that is ours.

    Args:
        folder: Where.
        state: ``fresh``, ``unfinished`` (the same plan began here) or ``finished``.
    """

    folder: Path
    state: Literal["fresh", "unfinished", "finished"]

    @property
    def work(self) -> Path:
        """What is deleted when the run is done."""
        return self.folder / WORK


def look(verb: str, plan: Any, folder: Path) -> Claim:
    """What stands in a folder that a plan would use; nothing is written.

    Raises:
        PlanError: The folder holds the run of another plan, or files that are no run.
    """
    if not (folder / PLAN).is_file():
        torn = f".{PLAN}."  # what a kill in the first moment leaves
        if folder.exists() and not (folder.is_dir() and all(f.name.startswith(torn) for f in folder.iterdir())):
            raise PlanError(f"{folder} is no empty folder, and holds no run", hint="choose another with --out")
        return Claim(folder=folder, state="fresh")
    there, asked = planned(folder), {"verb": verb, "plan": io.to_json(plan)}
    there["plan"] = _defaults(plan) | there["plan"]  # a run may be older than a field of its plan
    if there != asked:
        differing = sorted(
            key for key in {*there["plan"], *asked["plan"]} if there["plan"].get(key) != asked["plan"].get(key)
        )
        what = (
            f"differing in {', '.join(differing)}" if there.get("verb") == verb else f"of striate {there.get('verb')}"
        )
        raise PlanError(f"{folder} holds a run of another plan, {what}", hint="choose another folder with --out")
    return Claim(folder=folder, state="finished" if (folder / METRICS).is_file() else "unfinished")


def _defaults(plan: Any) -> dict[str, Any]:
    return {f.name: io.to_json(f.default) for f in fields(plan) if f.default is not MISSING}


def claim(verb: str, plan: Any, folder: Path) -> Claim:
    """Take a folder for a plan.

    Raises:
        PlanError: As `look`.
        StorageError: The folder cannot be written.
    """
    found = look(verb, plan, folder)
    if found.state == "fresh":
        make_folder(folder)
        io.write(folder / PLAN, {"verb": verb, "plan": io.to_json(plan)})
    if found.state != "finished":
        make_folder(found.work)
        _lock(found)
        for left in folder.glob(".*.part"):  # of a write that a kill cut short
            left.unlink(missing_ok=True)
    return found


@contextmanager
def at_work() -> Iterator[None]:
    """Within this folders are claimed; at its end they are free again. Serves as a decorator of jobs.

    A plan that turns out to be wrong leaves no fresh folder behind, which would refuse the mended plan.
    """
    before = set(_LOCKS)
    try:
        yield
    except PlanError:
        for path in set(_CLAIMS) - before:
            release(_CLAIMS[path])
        raise
    finally:
        for path in set(_LOCKS) - before:
            _CLAIMS.pop(path, None)
            _LOCKS.pop(path).release(force=True)


def _lock(claim: Claim) -> None:
    """Keep other processes out until `at_work` ends, or this process does, however it does.

    Raises:
        PlanError: Another process is at work there.
    """
    path = claim.work.resolve() / LOCK
    lock = _LOCKS.setdefault(path, FileLock(path, timeout=0))
    try:
        lock.acquire()
    except Timeout as error:
        raise PlanError(
            f"another process is at work in {claim.folder}", hint="wait for it, or choose another folder with --out"
        ) from error
    except OSError as error:
        raise explain(error, path) from error
    _CLAIMS[path] = claim


def release(claim: Claim) -> None:
    """Give back a fresh folder in which nothing came about, so that a mended plan may have it."""
    if claim.state != "fresh":
        return
    for name in (PLAN, LOG):
        (claim.folder / name).unlink(missing_ok=True)
    shutil.rmtree(claim.work, ignore_errors=True)
    with contextlib.suppress(OSError):  # what else is in it is not ours
        claim.folder.rmdir()


def next_free(name: str) -> Path:
    """``runs/<name>-<n>`` with the least n that is not taken."""
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip("-.") or "data"
    number = 1
    while (folder := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return folder


def planned(folder: Path) -> dict[str, Any]:
    """What ``plan.json`` holds: ``verb`` and ``plan``.

    Raises:
        PlanError: The file is damaged.
    """
    path = folder / PLAN
    try:
        found = io.read(path)
    except (OSError, ValueError) as error:
        raise PlanError(f"{path} is damaged: {error}", hint="choose another folder with --out") from error
    if not isinstance(found, dict) or not isinstance(found.get("plan"), dict):
        raise PlanError(f"{path} is damaged: it holds no plan", hint="choose another folder with --out")
    return found


def record(kind: type[T], folder: Path) -> T:
    """The record of a finished run, of class `kind`.

    Raises:
        PlanError: The file is damaged, or of another version.
    """
    path = folder / METRICS
    try:
        return tasks.record(kind, io.read(path))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        hint = "remove the file, and the same command makes it anew"
        raise PlanError(f"{path} is damaged or of another version: {error}", hint=hint) from error


def logged(path: Path, event: str) -> list[dict[str, Any]]:
    """What a log holds of an event, oldest first.

    Args:
        path: As `LogFile` writes it.
        event: Its name.
    """
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    return [row for row in rows if row["event"] == event]


@final
class LogFile:
    """A listener that keeps every event as a line of ``log.jsonl``; its ``at_s`` are seconds since the log was opened.

    Args:
        path: Appended to.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._began = time.monotonic()
        self._drop_torn_line()

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Write that a phase began."""
        self._write({"event": "phase", "name": name, "total": total})

    def step(self, done: int) -> None:
        """Steps are not kept."""

    def note(self, message: str, **facts: Any) -> None:
        """Write a note."""
        self._write({"event": "note", "message": message, **facts})

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Write an event."""
        self._write({"event": event, **facts})

    def _drop_torn_line(self) -> None:
        """A full disk may have left a line half written; every line of the file is a whole document again."""
        try:
            with self._path.open("r+b") as stream:
                whole = stream.read().rfind(b"\n") + 1
                stream.truncate(whole)
        except FileNotFoundError:
            return
        except OSError as error:
            raise explain(error, self._path) from error

    def _write(self, facts: dict[str, Any]) -> None:
        line = json.dumps(io.to_json({"at_s": round(time.monotonic() - self._began, 3), **facts}))
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        except OSError as error:
            raise explain(error, self._path) from error
