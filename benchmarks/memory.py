"""How much memory does the main job take, and does it grow with the images?

The anonymous memory (what the process asked for itself: no file behind it, so nothing that the system could drop and
read again) of ``striate fit`` is sampled from the outside, from its start until the head's candidate is in
``log.jsonl``: digests, the cached pass, the probes and the head. Then the process is stopped. Several sizes make one
question: the largest peak against the smallest.

    python benchmarks/memory.py --images 2000 20000 --cifar FOLDER

Images come from cifar10's ``train.tar.xz`` (class folders of JPEG files), brought to the network's 224 px by the run
itself. Where no weights of MobileNet v2 can be downloaded, STRIATE_WEIGHTS names a folder that has them.
Linux only: the figures are ``RssAnon`` of ``/proc/PID/status``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
CIFAR = HERE.parents[1] / "shared" / "data" / "cifar10"
RESULTS = HERE / "results.jsonl"
ALLOWED = 1.3
"""The largest peak may be so many times the smallest."""


def unpack(archive: Path, count: int, folder: Path) -> Path:
    """`count` images of the archive, as many of each of its ten classes, as class folders."""
    wanted = dict.fromkeys(range(10), 0)
    places: dict[str, int] = {}
    with tarfile.open(archive) as stream:
        for member in stream:
            if not member.isfile():
                continue
            _, label, name = member.name.split("/")
            place = places.setdefault(label, len(places))
            if wanted[place] < count // 10:
                content = stream.extractfile(member)
                assert content is not None
                (folder / label).mkdir(parents=True, exist_ok=True)
                (folder / label / name).write_bytes(content.read())
                wanted[place] += 1
    return folder


def anonymous_bytes(pid: int) -> int:
    """Anonymous memory of a process now; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((1024 * int(line.split()[1]) for line in text.splitlines() if line.startswith("RssAnon")), 0)


def events(log: Path) -> list[dict]:
    """The whole lines of a run's log."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text().split("\n")[:-1]]


def watch(
    command: list[str], log: Path, environment: dict[str, str], done: Callable[[list[dict]], bool]
) -> tuple[dict[str, int], float]:
    """Peak of the anonymous memory by phase of a command that is stopped once its log says so, and the seconds.

    Raises:
        RuntimeError: The command ended before, or after half an hour has not come so far.
    """
    peaks: dict[str, int] = defaultdict(int)
    began = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        try:
            while time.monotonic() - began < 1800:
                written = events(log)
                phases = [each["name"] for each in written if each["event"] == "phase"]
                phase = phases[-1] if phases else "start"
                for _ in range(10):
                    peaks[phase] = max(peaks[phase], anonymous_bytes(process.pid))
                    time.sleep(0.02)
                if done(written):
                    return dict(peaks), time.monotonic() - began
                if process.poll() is not None:
                    break
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        said.seek(0)
        raise RuntimeError(f"the run ended too early, or took too long:\n{said.read().decode()[-2000:]}")


def head_is_there(written: list[dict]) -> bool:
    return any(each["event"] == "candidate" and each["strategy"] == "head" for each in written)


def measure(count: int, archive: Path, backbone: str) -> dict[str, object]:
    """The peak of one run on `count` images, in a fresh cache."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        data = unpack(archive, count, work / "images")
        command = [sys.executable, "-m", "striate", "fit", str(data), "--backbone", backbone, "--no-scratch"]
        environment = os.environ | {"STRIATE_HOME": str(work / "home")}
        run = work / "run"
        peaks, seconds = watch([*command, "--out", str(run)], run / "log.jsonl", environment, head_is_there)
    return {
        "benchmark": "memory",
        "backbone": backbone,
        "images": count,
        "peak_mib": round(max(peaks.values()) / 2**20, 1),
        "by_phase_mib": {phase: round(each / 2**20, 1) for phase, each in peaks.items()},
        "seconds": round(seconds, 1),
        "machine": platform.machine(),
    }


def main() -> None:
    """Measure every size, smallest first, and compare the largest with the smallest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[2000, 20000])
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--cifar", type=Path, default=CIFAR, help="folder of cifar10's train.tar.xz")
    asked = parser.parse_args()
    rows = []
    for count in sorted(asked.images):
        rows.append(measure(count, asked.cifar / "train.tar.xz", asked.backbone))
        print(json.dumps(rows[-1]), flush=True)
    if len(rows) > 1:
        ratio = rows[-1]["peak_mib"] / rows[0]["peak_mib"]
        rows[-1]["ratio"] = round(ratio, 3)
        print(f"{rows[-1]['images']} images take {ratio:.2f} times the memory of {rows[0]['images']}")
    with open(RESULTS, "a", encoding="utf-8") as results:
        results.writelines(json.dumps(row) + "\n" for row in rows)
    if len(rows) > 1 and ratio > ALLOWED:
        raise SystemExit(f"above {ALLOWED}")


if __name__ == "__main__":
    main()
