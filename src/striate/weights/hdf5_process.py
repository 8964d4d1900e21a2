"""Runs alone in a process of its own: reads the arrays of an HDF5 file and writes them to standard output.

The HDF5 library loops, and asks for any amount of memory, on files that are damaged or made to do harm. Here it runs
under limits of time and memory, and what it does harms nobody. It imports nothing of ours.

    python hdf5_process.py FILE MAX_BYTES CPU_SECONDS

Output is a file of safetensors whose metadata ``titles`` holds, as JSON, the ``name`` attributes of the groups. A
refusal is written to standard error, with exit code 3.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

REFUSED = 3
_FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000})  # what HDF5 and h5py bring along; others would be loaded as plugins
_MAX_OBJECTS = 200_000


class Refused(Exception):  # noqa: N818 - it is not an error of this program
    """The file holds something that is not read."""


def main() -> None:
    """Read the command line."""
    path, max_bytes, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    os.environ["HDF5_PLUGIN_PRELOAD"] = "::"  # no plugin is loaded
    import h5py
    import numpy as np
    from safetensors.numpy import save

    _limit(max_bytes, seconds)
    try:
        with h5py.File(path, "r") as file:
            root = _root(h5py, file)
            found, titles = _walk(h5py, root)
            total = sum(_size(h5py, np, name, node) for name, node in found.items())
            if total > max_bytes:
                raise Refused(f"says that it holds {total:,} bytes, more than a file of its size can")
            arrays = {name: np.ascontiguousarray(_native(np, node)) for name, node in found.items()}
        sys.stdout.buffer.write(save(arrays, metadata={"titles": json.dumps(titles)}))
    except Refused as refusal:
        sys.stderr.write(str(refusal))
        raise SystemExit(REFUSED) from None


def _limit(max_bytes: int, seconds: float) -> None:
    """Bound what may still be computed and allocated, where the system has such limits; the caller has a clock."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, most + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:
            now = int(stream.read().split()[0]) * resource.getpagesize()
    except OSError:
        return
    room = now + 3 * max_bytes + (64 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (room, room))


def _root(h5py: Any, file: Any) -> Any:
    """Where Keras keeps weights: ``model_weights`` of a whole model, or the top."""
    link = file.get("model_weights", getlink=True)
    if link is None:
        return file
    _require_inside(h5py, "model_weights", link)
    node = file["model_weights"] if isinstance(link, h5py.HardLink) else None  # a soft link may lead out of the file
    if not isinstance(node, h5py.Group):
        raise Refused("is no file of Keras weights: its model_weights is no group")
    return node


def _walk(h5py: Any, root: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Every dataset by its path, and the ``name`` attributes of the groups; each object once, soft links never."""
    found: dict[str, Any] = {}
    titles: dict[str, str] = {}
    seen: set[Any] = set()
    pending = [("", root)]
    while pending:
        path, group = pending.pop()
        for name in group:
            full = f"{path}/{name}" if path else str(name)
            link = group.get(name, getlink=True)
            _require_inside(h5py, full, link)
            if not isinstance(link, h5py.HardLink):
                continue
            node = group[name]
            address = h5py.h5o.get_info(node.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > _MAX_OBJECTS:
                raise Refused(f"has more than {_MAX_OBJECTS:,} objects")
            if isinstance(node, h5py.Dataset):
                found[full] = node
            elif isinstance(node, h5py.Group):
                pending.append((full, node))
                title = node.attrs.get("name") if "name" in node.attrs else None
                if isinstance(title, bytes):
                    title = title.decode("utf-8")
                if isinstance(title, str):
                    titles[full] = title
    return dict(sorted(found.items())), titles


def _require_inside(h5py: Any, name: str, link: Any) -> None:
    if isinstance(link, h5py.ExternalLink):
        raise Refused(f"has a link to another file ({name!r} to {link.filename!r}), which is refused; nothing was read")


def _size(h5py: Any, np: Any, name: str, node: Any) -> int:
    """Bytes of a dataset, whose numbers must lie in the file itself."""
    plist = node.id.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count() > 0:
        raise Refused(f"keeps {name!r} in another file, which is refused; nothing was read")
    filters = [plist.get_filter(index)[0] for index in range(plist.get_nfilters())]
    if not _FILTERS.issuperset(filters):
        raise Refused(f"packs {name!r} by a method that would have to be loaded (filters {filters})")
    if node.shape is None or node.dtype.kind not in "fiub" or (node.dtype.kind == "f" and node.dtype.itemsize > 8):
        raise Refused(f"holds {node.dtype if node.shape is not None else 'nothing'} in {name!r}, not plain numbers")
    size = int(np.prod(node.shape, dtype=object)) * node.dtype.itemsize
    if size and node.id.get_storage_size() == 0:
        raise Refused(f"says that {name!r} holds {size:,} bytes, and has none of them")
    return size


def _native(np: Any, node: Any) -> Any:
    array = np.asarray(node[()])
    return array.astype(array.dtype.newbyteorder("="))


if __name__ == "__main__":
    main()
