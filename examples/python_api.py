"""The Python interface: predict, evaluate, features, DataLoaders and scikit-learn, on data that needs no download."""

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from torch.utils.data import DataLoader

import striate
from striate.sklearn import ImageFeatures

pixels, labels = load_digits(return_X_y=True)
images = list((pixels[:200].reshape(-1, 8, 8) * 255 / 16).astype("uint8"))  # paths, bytes and PIL images work too

print(striate.check("digits").issues)

classifier = striate.load("lenet5:mnist")  # a run folder, NAME:WEIGHTS or hub:OWNER/NAME
print(classifier.predict(images[0], top=3))  # one image: the most probable classes
print(len(classifier.predict(images[:10])))  # several images: one list per image
print(classifier.predict_proba(images[:10]).shape)  # (10, 10): images, classes
print(f"{striate.evaluate(classifier, 'digits').top1:.1%}")

transforms = classifier.transforms  # or striate.weights.get("lenet5:mnist").transforms()
for batch in DataLoader([transforms(image) for image in images], batch_size=50):
    print(tuple(batch.shape))

found = striate.features("lenet5:mnist", images, stage="stage1")
print(found.values.shape)  # pooled features of one stage, as a NumPy array

pipeline = make_pipeline(ImageFeatures("lenet5:mnist"), LogisticRegression(max_iter=1000))
print(cross_val_score(pipeline, images, labels[:200], cv=3).mean())
