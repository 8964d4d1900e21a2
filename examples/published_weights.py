"""Published weights: a network with its preprocessing and its labels, ready to name images."""

from __future__ import annotations

from sklearn.datasets import load_digits

import striate

classifier = striate.load("lenet5:mnist")  # comes with the package; "mobilenet_v2:imagenet1k_v2" would be downloaded
pixels, _ = load_digits(return_X_y=True)
image = (pixels[3].reshape(8, 8) * 255 / 16).astype("uint8")
print(classifier.predict(image, top=3))

# The same weights as a start: ten outputs become three, and colour images are taken as their luma.
model = striate.create_model("lenet5", weights="mnist", classes=3, in_channels=3)
print(model.head)
