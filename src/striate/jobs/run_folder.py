"""The folder of a run: claimed for one plan, logged to, resumed, never overwritten."""

from __future__ import annotations

import contextlib
import itertools
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
        if folder.exists() and not (folder.is_dir() and all(_of_a_beginning(each) for each in folder.iterdir())):
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


def _of_a_beginning(path: Path) -> bool:
    """Whether a file or folder is what another job's claim, or a kill in its first moment, leaves before the plan."""
    locked = path.name == WORK and path.is_dir() and all(each.name == LOCK for each in path.iterdir())
    return locked or path.name.startswith(f".{PLAN}.")


def _defaults(plan: Any) -> dict[str, Any]:
    return {f.name: io.to_json(f.default) for f in fields(plan) if f.default is not MISSING}


@contextmanager
def claim(verb: str, plan: Any, folder: Path) -> Iterator[Claim]:
    """Take a folder for a plan. Nobody else, in this process or another, can claim it within the block.

    A plan that turns out to be wrong (PlanError) leaves no fresh folder behind, which would refuse the corrected plan.

    Raises:
        PlanError: As `look`; or another job is at work in the folder.
        StorageError: The folder cannot be written.
    """
    for place in (folder, look(verb, plan, folder).work):  # an error names the folder that the user gave
        make_folder(place)
    with _locked(Claim(folder=folder, state="fresh")):
        found = look(verb, plan, folder)  # another plan may have begun here a moment ago
        if found.state == "fresh":  # only the holder of the lock writes the plan
            io.write(folder / PLAN, {"verb": verb, "plan": io.to_json(plan)})
        for left in folder.glob(".*.part"):  # of a write that a kill cut short
            left.unlink(missing_ok=True)
        try:
            yield found
        except PlanError:
            release(found)
            raise


@contextmanager
def _locked(claim: Claim) -> Iterator[None]:
    """Keep every other job out until the block or this process ends, however it ends.

    Raises:
        PlanError: Another job is at work there.
    """
    path = claim.work.resolve() / LOCK
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise PlanError(
            f"another job is at work in {claim.folder}", hint="wait for it, or choose another folder with --out"
        ) from error
    except OSError as error:
        raise explain(error, path) from error
    try:
        yield
    finally:
        lock.release(force=True)


def release(claim: Claim) -> None:
    """Delete a fresh folder in which nothing was computed, so that a corrected plan may have it."""
    if claim.state != "fresh":
        return
    for name in (PLAN, LOG):
        (claim.folder / name).unlink(missing_ok=True)
    shutil.rmtree(claim.work, ignore_errors=True)
    with contextlib.suppress(OSError):  # what else is in it is not ours
        claim.folder.rmdir()


@contextmanager
def reserved(out: Path | None, name: str) -> Iterator[Path]:
    """The folder for a run: `out`, or a new ``runs/<name>-<n>`` with the least n that no other run has.

    A new folder that is still empty at the end of the block is removed.

    Raises:
        StorageError: The folder cannot be made.
    """
    if out is not None:
        yield out
        return
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip("-.") or "data"
    folder = _new_folder(make_folder(Path("runs")), stem)
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):  # it holds a run
            folder.rmdir()


def _new_folder(parent: Path, stem: str) -> Path:
    for number in itertools.count(1):
        folder = parent / f"{stem}-{number}"
        try:
            folder.mkdir()  # fails when another job was quicker
        except FileExistsError:
            continue
        except OSError as error:
            raise explain(error, folder) from error
        return folder
    raise AssertionError


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


def finished(verb: str, plan: Any, folder: Path, kind: type[T]) -> T | None:
    """The record of a run of this plan that is finished; None when it is not.

    Raises:
        PlanError: As `look` and `record`.
    """
    if look(verb, plan, folder).state != "finished":
        return None
    found = record(kind, folder)
    finish(folder)
    return found


def finish(folder: Path) -> None:
    """Delete what only an unfinished run needs."""
    shutil.rmtree(folder / WORK, ignore_errors=True)


def record(kind: type[T], folder: Path) -> T:
    """The record of a finished run, of class `kind`.

    Raises:
        PlanError: The file is damaged, or of another version.
    """
    path = folder / METRICS
    try:
        return tasks.record(kind, io.read(path))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        hint = "remove the file, and the same command writes it again"
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
    """A progress callback that writes every event as a line of ``log.jsonl``. ``at_s`` is the seconds since opening.

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
