"""How fast is the input path, and does it give the same pixels?

One thread turns JPEG files into tensors of 3 x 224 x 224. The peer is torchvision's habit on Pillow, written out below
step by step (open, convert, resize, crop, to floats, normalise), since torchvision is no dependency. Ours hands on
bytes, as the cached pass does (mean and std are one multiply-add on the whole batch there), and, in rows of their own,
floats that are normalised an image at a time as the peer's are.

Pairs are interleaved: peer, ours, peer, ours, ... over all images; the ratio is the median over the pairs, with a
95 % interval from the bootstrap. Photos come from a tar of real ones, brought to 500 x 375 px, or from your own folder.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from striate.core.preprocess import Preprocess
from striate.data.decode import decode

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parents[1] / "shared" / "data" / "imagenet_samples" / "imagenet_samples.tar"
PREPROCESS = Preprocess(size=(224, 224), resize=256)
MEAN = torch.tensor(PREPROCESS.mean).view(-1, 1, 1)
STD = torch.tensor(PREPROCESS.std).view(-1, 1, 1)
SCALE, OFFSET = (torch.tensor(each).view(-1, 1, 1) for each in PREPROCESS.affine())


def peer_pixels(raw: bytes) -> Image.Image:
    """Torchvision's Resize(256) and CenterCrop(224) on Pillow."""
    image = Image.open(io.BytesIO(raw)).convert("RGB")
    width, height = image.size
    short, long = min(width, height), max(width, height)
    new_long = int(256 * long / short)
    new = (256, new_long) if width <= height else (new_long, 256)
    image = image.resize(new, Image.Resampling.BILINEAR)
    left, top = round((new[0] - 224) / 2.0), round((new[1] - 224) / 2.0)
    return image.crop((left, top, left + 224, top + 224))


def peer(raw: bytes) -> torch.Tensor:
    """The whole habit: pixels, ToTensor, Normalize (which clones)."""
    pixels = torch.from_numpy(np.array(peer_pixels(raw), dtype=np.uint8, copy=True))
    x = pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)
    return x.clone().sub_(MEAN).div_(STD)


def own(raw: bytes) -> torch.Tensor:
    """Bytes, by the weights' own resize."""
    return torch.from_numpy(decode(raw, PREPROCESS))


def fast(raw: bytes) -> torch.Tensor:
    """Bytes, by the fast resize."""
    return torch.from_numpy(decode(raw, PREPROCESS, fast=True))


def own_floats(raw: bytes) -> torch.Tensor:
    """Normalised floats, by the weights' own resize."""
    return own(raw).permute(2, 0, 1).to(torch.float32, memory_format=torch.contiguous_format).mul_(SCALE).add_(OFFSET)


def fast_floats(raw: bytes) -> torch.Tensor:
    """Normalised floats, by the fast resize."""
    return fast(raw).permute(2, 0, 1).to(torch.float32, memory_format=torch.contiguous_format).mul_(SCALE).add_(OFFSET)


def photos(archive: Path, count: int) -> list[bytes]:
    """Real photos as JPEG files of 500 x 375 px, quality 90, as the usual photo sets have them."""
    made = []
    with tarfile.open(archive) as samples:
        for member in samples:
            stream = samples.extractfile(member)
            if stream is None or len(made) == count:
                continue
            image = Image.open(io.BytesIO(stream.read())).convert("RGB")
            if image.width >= 1.2 * image.height:
                made.append(_jpeg(image.resize((500, 375), Image.Resampling.BICUBIC)))
    return made


def mosaics(archive: Path, count: int) -> list[bytes]:
    """Large images with real detail down to the pixel: 8 x 6 photos side by side, 2048 x 1536 px."""
    with tarfile.open(archive) as samples:
        members = [m for m in samples if m.isfile()][: 48 * count]
        tiles = [Image.open(io.BytesIO(s.read())).convert("RGB") for m in members if (s := samples.extractfile(m))]
    made = []
    for start in range(0, len(tiles) - 47, 48):
        large = Image.new("RGB", (2048, 1536))
        for i, tile in enumerate(tiles[start : start + 48]):
            large.paste(tile.crop((0, 0, 256, 256)), (i % 8 * 256, i // 8 * 256))
        made.append(_jpeg(large))
    return made


def _jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return stream.getvalue()


def seconds(turn: Callable[[bytes], torch.Tensor], raws: list[bytes]) -> float:
    began = time.perf_counter()
    for raw in raws:
        turn(raw)
    return time.perf_counter() - began


def compare(turn: Callable[[bytes], torch.Tensor], raws: list[bytes], pairs: int) -> dict[str, float]:
    """Images a second of the peer and of `turn`, and the median ratio with its interval."""
    seconds(peer, raws)
    seconds(turn, raws)
    times = np.array([(seconds(peer, raws), seconds(turn, raws)) for _ in range(pairs)])
    ratios = times[:, 0] / times[:, 1]
    draws = np.random.default_rng(0).integers(0, pairs, (2000, pairs))
    low, high = np.percentile(np.median(ratios[draws], axis=1), (2.5, 97.5))
    rates = len(raws) / np.median(times, axis=0)
    return {"peer_per_s": rates[0], "per_s": rates[1], "ratio": np.median(ratios), "low": low, "high": high}


def difference(turn: Callable[[bytes], torch.Tensor], raws: list[bytes]) -> dict[str, float]:
    """How far the pixels are from the peer's, in units of 1/255."""
    gaps = [np.abs(turn(raw).numpy().astype(int) - np.asarray(peer_pixels(raw)).astype(int)) for raw in raws]
    return {"mean_difference": float(np.mean(gaps)), "max_difference": int(np.max(gaps))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=SAMPLES, help="a tar of real photos")
    parser.add_argument("--images", type=Path, help="a folder of JPEG files to use as they are instead")
    parser.add_argument("--pairs", type=int, default=21)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sets = (
        {"500 x 375": photos(options.data, 60), "2048 x 1536": mosaics(options.data, 4)} if not options.images else {}
    )
    if options.images:
        sets[str(options.images)] = [path.read_bytes() for path in sorted(options.images.rglob("*.jpg"))[:200]]
    print(f"{'images':<14}{'path':<14}{'peer/s':>8}{'ours/s':>8}{'ratio':>7}  {'95 %':<13}{'mean diff':>10}{'max':>5}")
    with open(HERE / "results.jsonl", "a", encoding="utf-8") as results:
        for name, raws in sets.items():
            for turn, floats in ((own, own_floats), (fast, fast_floats)):
                gap = difference(turn, raws)
                for each in (turn, floats):
                    row = compare(each, raws, options.pairs)
                    speed = f"{row['peer_per_s']:>8.0f}{row['per_s']:>8.0f}{row['ratio']:>7.2f}"
                    pixels = f"{gap['mean_difference']:>10.3f}{gap['max_difference']:>5}"
                    print(f"{name:<14}{each.__name__:<14}{speed}  {row['low']:.2f} to {row['high']:.2f} {pixels}")
                    facts = {"benchmark": "decode", "images": name, "n": len(raws), "path": each.__name__}
                    facts |= {key: round(float(value), 4) for key, value in (row | gap).items()}
                    facts |= {"pairs": options.pairs, "machine": platform.processor() or platform.machine()}
                    results.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
