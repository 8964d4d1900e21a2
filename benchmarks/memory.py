"""Peak memory of `striate fit`, and whether it grows with the number of images.

The anonymous memory of ``striate fit`` (what the process allocates: no file behind it that the system could drop and
read again) is sampled from another process, from the start until ``log.jsonl`` contains the head candidate: hashing
files, extracting features, the linear probes and the head. Then the process is stopped. The script compares the largest
peak with the peak for the fewest images.

    python benchmarks/memory.py --images 2000 20000 --cifar FOLDER

The images are those of CIFAR-10's ``train.tar.xz`` (class folders of JPEG files); the run resizes them to 224 px. If
the weights of MobileNet v2 cannot be downloaded, set STRIATE_WEIGHTS to a folder that contains them. The script needs
Linux: it reads ``RssAnon`` from ``/proc/PID/status``.
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
MAX_RATIO = 1.3
"""Maximum ratio of the largest peak to the peak for the fewest images."""


def unpack(archive: Path, count: int, folder: Path) -> Path:
    """Extract `count` images into class folders, the same number of each of the ten classes."""
    counts: dict[str, int] = {}
    with tarfile.open(archive) as stream:
        for member in stream:
            if not member.isfile():
                continue
            _, label, name = member.name.split("/")
            if counts.setdefault(label, 0) < count // 10:
                content = stream.extractfile(member)
                assert content is not None
                (folder / label).mkdir(parents=True, exist_ok=True)
                (folder / label / name).write_bytes(content.read())
                counts[label] += 1
    return folder


def anonymous_bytes(pid: int) -> int:
    """Current anonymous memory of a process, in bytes; 0 if the process has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((1024 * int(line.split()[1]) for line in text.splitlines() if line.startswith("RssAnon")), 0)


def events(log: Path) -> list[dict]:
    """The events in the complete lines of the log of a run."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text().split("\n")[:-1]]


def watch(
    command: list[str], log: Path, environment: dict[str, str], done: Callable[[list[dict]], bool]
) -> tuple[dict[str, int], float]:
    """Run a command until its log meets a condition, and measure its anonymous memory.

    Returns:
        The peak in bytes by phase, and the duration in seconds.

    Raises:
        RuntimeError: The command ended before the condition was met, or did not meet it within 30 minutes.
    """
    peaks: dict[str, int] = defaultdict(int)
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
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
        output.seek(0)
        raise RuntimeError(f"the run ended too early or took too long:\n{output.read().decode()[-2000:]}")


def has_head_candidate(written: list[dict]) -> bool:
    return any(each["event"] == "candidate" and each["strategy"] == "head" for each in written)


def measure(count: int, archive: Path, backbone: str) -> dict[str, object]:
    """Measure the peak of one run on `count` images, with an empty cache."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        data = unpack(archive, count, work / "images")
        command = [sys.executable, "-m", "striate", "fit", str(data), "--backbone", backbone, "--no-scratch"]
        environment = os.environ | {"STRIATE_HOME": str(work / "home")}
        run = work / "run"
        peaks, seconds = watch([*command, "--out", str(run)], run / "log.jsonl", environment, has_head_candidate)
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
    """Measure every number of images, and compare the largest with the smallest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[2000, 20000])
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--cifar", type=Path, default=CIFAR, help="folder that contains train.tar.xz of CIFAR-10")
    options = parser.parse_args()
    rows = []
    for count in sorted(options.images):
        rows.append(measure(count, options.cifar / "train.tar.xz", options.backbone))
        print(json.dumps(rows[-1]), flush=True)
    if len(rows) > 1:
        ratio = rows[-1]["peak_mib"] / rows[0]["peak_mib"]
        rows[-1]["ratio"] = round(ratio, 3)
        print(f"{rows[-1]['images']} images take {ratio:.2f} times the memory of {rows[0]['images']}")
    with open(RESULTS, "a", encoding="utf-8") as results:
        results.writelines(json.dumps(row) + "\n" for row in rows)
    if len(rows) > 1 and ratio > MAX_RATIO:
        raise SystemExit(f"above {MAX_RATIO}")


if __name__ == "__main__":
    main()
