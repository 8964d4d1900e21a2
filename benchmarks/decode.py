"""Speed of decoding and resizing images, and the difference of the pixels from the reference's.

One thread turns JPEG files into tensors of 3 x 224 x 224. The reference is what torchvision's transforms do on Pillow
images, written here step by step (open, convert, resize, crop, convert to floats, normalise), because torchvision is
not a dependency. Ours returns uint8 tensors, as feature extraction uses them (mean and standard deviation are applied
to the whole batch later); separate rows return floats that are normalised image by image, like the reference's.

The runs are interleaved: reference, ours, reference, ours, and so on, over all images. The ratio is the median over the
pairs, with a 95 % interval from the bootstrap. The images are real photos from a tar file, resized to 500 x 375 px, or
the files of your own folder.
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


def reference_pixels(raw: bytes) -> Image.Image:
    """Torchvision's Resize(256) and CenterCrop(224) on a Pillow image."""
    image = Image.open(io.BytesIO(raw)).convert("RGB")
    width, height = image.size
    short, long = min(width, height), max(width, height)
    new_long = int(256 * long / short)
    new = (256, new_long) if width <= height else (new_long, 256)
    image = image.resize(new, Image.Resampling.BILINEAR)
    left, top = round((new[0] - 224) / 2.0), round((new[1] - 224) / 2.0)
    return image.crop((left, top, left + 224, top + 224))


def reference(raw: bytes) -> torch.Tensor:
    """The whole pipeline: pixels, ToTensor, Normalize (which clones)."""
    pixels = torch.from_numpy(np.array(reference_pixels(raw), dtype=np.uint8, copy=True))
    x = pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)
    return x.clone().sub_(MEAN).div_(STD)


def own(raw: bytes) -> torch.Tensor:
    """A uint8 tensor, with the resize of the weights."""
    return torch.from_numpy(decode(raw, PREPROCESS))


def fast(raw: bytes) -> torch.Tensor:
    """A uint8 tensor, with the fast resize."""
    return torch.from_numpy(decode(raw, PREPROCESS, fast=True))


def own_floats(raw: bytes) -> torch.Tensor:
    """Normalised floats, by the weights' own resize."""
    return own(raw).permute(2, 0, 1).to(torch.float32, memory_format=torch.contiguous_format).mul_(SCALE).add_(OFFSET)


def fast_floats(raw: bytes) -> torch.Tensor:
    """Normalised floats, with the fast resize."""
    return fast(raw).permute(2, 0, 1).to(torch.float32, memory_format=torch.contiguous_format).mul_(SCALE).add_(OFFSET)


def photos(archive: Path, count: int) -> list[bytes]:
    """Real photos as JPEG files of 500 x 375 px and quality 90, a common size in photo datasets."""
    files = []
    with tarfile.open(archive) as samples:
        for member in samples:
            stream = samples.extractfile(member)
            if stream is None or len(files) == count:
                continue
            image = Image.open(io.BytesIO(stream.read())).convert("RGB")
            if image.width >= 1.2 * image.height:
                files.append(_jpeg(image.resize((500, 375), Image.Resampling.BICUBIC)))
    return files


def mosaics(archive: Path, count: int) -> list[bytes]:
    """Large images with real detail at the pixel level: mosaics of 8 x 6 photos, 2048 x 1536 px."""
    with tarfile.open(archive) as samples:
        members = [m for m in samples if m.isfile()][: 48 * count]
        tiles = [Image.open(io.BytesIO(s.read())).convert("RGB") for m in members if (s := samples.extractfile(m))]
    files = []
    for start in range(0, len(tiles) - 47, 48):
        large = Image.new("RGB", (2048, 1536))
        for i, tile in enumerate(tiles[start : start + 48]):
            large.paste(tile.crop((0, 0, 256, 256)), (i % 8 * 256, i // 8 * 256))
        files.append(_jpeg(large))
    return files


def _jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return stream.getvalue()


def seconds(work: Callable[[bytes], torch.Tensor], raws: list[bytes]) -> float:
    began = time.perf_counter()
    for raw in raws:
        work(raw)
    return time.perf_counter() - began


def compare(work: Callable[[bytes], torch.Tensor], raws: list[bytes], pairs: int) -> dict[str, float]:
    """Images per second of the reference and of `work`, and the median ratio with its interval."""
    seconds(reference, raws)
    seconds(work, raws)
    times = np.array([(seconds(reference, raws), seconds(work, raws)) for _ in range(pairs)])
    ratios = times[:, 0] / times[:, 1]
    draws = np.random.default_rng(0).integers(0, pairs, (2000, pairs))
    low, high = np.percentile(np.median(ratios[draws], axis=1), (2.5, 97.5))
    rates = len(raws) / np.median(times, axis=0)
    return {"reference_per_s": rates[0], "per_s": rates[1], "ratio": np.median(ratios), "low": low, "high": high}


def difference(work: Callable[[bytes], torch.Tensor], raws: list[bytes]) -> dict[str, float]:
    """Mean and maximum difference from the reference's pixels, in units of 1/255."""
    gaps = [np.abs(work(raw).numpy().astype(int) - np.asarray(reference_pixels(raw)).astype(int)) for raw in raws]
    return {"mean_difference": float(np.mean(gaps)), "max_difference": int(np.max(gaps))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=SAMPLES, help="tar file of real photos")
    parser.add_argument("--images", type=Path, help="folder of JPEG files to use unchanged instead")
    parser.add_argument("--pairs", type=int, default=21)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sets = (
        {"500 x 375": photos(options.data, 60), "2048 x 1536": mosaics(options.data, 4)} if not options.images else {}
    )
    if options.images:
        sets[str(options.images)] = [path.read_bytes() for path in sorted(options.images.rglob("*.jpg"))[:200]]
    print(f"{'images':<14}{'path':<14}{'ref./s':>8}{'ours/s':>8}{'ratio':>7}  {'95 %':<13}{'mean diff':>10}{'max':>5}")
    with open(HERE / "results.jsonl", "a", encoding="utf-8") as results:
        for name, raws in sets.items():
            for work, floats in ((own, own_floats), (fast, fast_floats)):
                gap = difference(work, raws)
                for each in (work, floats):
                    row = compare(each, raws, options.pairs)
                    speed = f"{row['reference_per_s']:>8.0f}{row['per_s']:>8.0f}{row['ratio']:>7.2f}"
                    pixels = f"{gap['mean_difference']:>10.3f}{gap['max_difference']:>5}"
                    print(f"{name:<14}{each.__name__:<14}{speed}  {row['low']:.2f} to {row['high']:.2f} {pixels}")
                    facts = {"benchmark": "decode", "images": name, "n": len(raws), "path": each.__name__}
                    facts |= {key: round(float(value), 4) for key, value in (row | gap).items()}
                    facts |= {"pairs": options.pairs, "machine": platform.processor() or platform.machine()}
                    results.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
