"""Trains a classifier from Python, on data that needs no download: five labelled images of each digit."""

from __future__ import annotations

from sklearn.datasets import load_digits

import striate

pixels, _ = load_digits(return_X_y=True)
image = (pixels[0].reshape(8, 8) * 255 / 16).astype("uint8")  # a path works too

run = striate.fit("digits", per_class=5, scratch=False, out="runs/five-per-class")
print(f"test accuracy {run.record.test.top1:.1%} on {run.record.test.n} images; report: {run.report}")

classifier = striate.load("runs/five-per-class")  # needs only this folder
print(classifier.classes)
print(classifier.predict(image, top=3))
