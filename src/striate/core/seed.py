"""Random numbers that depend on a key, never on earlier draws.

The same key gives the same numbers in every worker, process and machine. Resuming in the middle of an epoch therefore
costs nothing and does not change the results.
"""

from __future__ import annotations

import hashlib

import numpy as np

Key = str | int


def derive(*key: Key) -> int:
    """Derive a 63-bit seed from a key. It is the same on every machine.

    Args:
        *key: Strings and integers, such as the random seed of a run, the purpose, and the epoch.

    Example:
        >>> derive(0, "split") == derive(0, "split") != derive(1, "split")
        True
    """
    text = "\x1f".join(f"{type(k).__name__}:{k}" for k in key)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*key: Key) -> np.random.Generator:
    """Create the NumPy generator of a key. It uses Philox, a counter-based generator."""
    return np.random.Generator(np.random.Philox(derive(*key)))


def unit_interval(*key: Key) -> float:
    """Draw the one number in [0, 1) of a key."""
    return derive(*key) / float(1 << 63)


def uniforms(samples: np.ndarray, count: int, *key: Key) -> np.ndarray:
    """Draw numbers in [0, 1) for many samples at once. Each row depends only on its sample and the key.

    Args:
        samples: Integers that identify the samples, ``[n]``.
        count: Numbers per sample.
        *key: Random seed, purpose, epoch, and so on.

    Returns:
        Uniform random numbers, float64, ``[n, count]``.

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
