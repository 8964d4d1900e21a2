"""Scikit-learn estimators over images: a transformer that extracts features, and a classifier.

Both take lists of paths, bytes, arrays or PIL images, and arrays as scikit-learn's datasets have them, and work in
`Pipeline`, `cross_val_score` and `GridSearchCV`.
"""

from striate.sklearn.estimators import ImageClassifier, ImageFeatures

__all__ = ["ImageClassifier", "ImageFeatures"]
