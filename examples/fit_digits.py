"""The main job from Python, on data that needs no download: five labelled images of each digit."""

from __future__ import annotations

from sklearn.datasets import load_digits

import striate

run = striate.fit("digits", per_class=5, scratch=False, out="runs/five-a-class")
print(f"{run.record.test.top1:.1%} of {run.record.test.n} test images right; the evidence is in {run.report}")

pixels, _ = load_digits(return_X_y=True)
image = (pixels[0].reshape(8, 8) * 255 / 16).astype("uint8")  # a file's path serves as well
print(run.predict(image, top=3))

classifier = striate.load("runs/five-a-class")  # later, elsewhere: the folder is all that is needed
print(classifier.classes, classifier.preprocess.size)
