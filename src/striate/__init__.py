"""Convolutional networks and transfer learning: pictures in, a classifier that can be trusted out."""

from __future__ import annotations

__version__ = "0.1.0"
