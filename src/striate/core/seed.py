"""Random draws that depend on what is drawn, never on what was drawn before.

Every draw is keyed: the same key gives the same numbers, whatever ran earlier, in whichever worker or
process. Skipping to the middle of an epoch therefore costs nothing and changes nothing.
"""

from __future__ import annotations

import hashlib

import numpy as np

Key = str | int


def derive(*key: Key) -> int:
    """A 63-bit seed from a key, the same on every machine.

    Example:
        >>> derive(0, "split") == derive(0, "split") != derive(1, "split")
        True
    """
    text = "\x1f".join(f"{type(k).__name__}:{k}" for k in key)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*key: Key) -> np.random.Generator:
    """A NumPy generator (Philox, a counter-based one) for a key."""
    return np.random.Generator(np.random.Philox(derive(*key)))


def unit_interval(*key: Key) -> float:
    """One number in [0, 1) for a key."""
    return derive(*key) / float(1 << 63)


def uniforms(samples: np.ndarray, count: int, *key: Key) -> np.ndarray:
    """Numbers in [0, 1) for many samples at once, each row depending on its sample and the key alone.

    Args:
        samples: Whole numbers that name the samples, ``[n]``.
        count: Numbers a sample.
        key: What is drawn: seed, purpose, epoch.

    Returns:
        float64, ``[n, count]``.

    Source:
        The finaliser of SplitMix64: Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators,
        Figure 17.
    """
    with np.errstate(over="ignore"):
        column = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95)
        z = samples.astype(np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15) + column + np.uint64(derive(*key))
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (29, 0xD6E8FEB86659FD93)):
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) / float(1 << 53)
