"""Keyed random numbers."""

from __future__ import annotations

import numpy as np

from striate.core import seed


def test_random_numbers_of_a_key_do_not_depend_on_earlier_draws() -> None:
    first = seed.generator(0, "order", 3).permutation(10)
    seed.generator(0, "order", 2).random(100)
    assert (seed.generator(0, "order", 3).permutation(10) == first).all()
    assert seed.derive(1) != seed.derive("1")


def test_a_row_of_uniforms_depends_only_on_its_sample_and_the_key() -> None:
    samples = np.array([5, 3, 9])
    numbers = seed.uniforms(samples, 4, 0, "flip")
    assert numbers.shape == (3, 4)
    assert ((numbers >= 0) & (numbers < 1)).all()
    np.testing.assert_array_equal(seed.uniforms(samples[::-1], 4, 0, "flip"), numbers[::-1])
    assert (seed.uniforms(samples, 4, 1, "flip") != numbers).all()
