"""AlexNet of textbooks: the layers and widths of 2012 in one tower, without groups.

Source: Geron 2019, chapter 14, table "AlexNet architecture".

======  ==========  ==================================================  ==================
stage   output      layers                                              book's name
======  ==========  ==================================================  ==================
stem    55 x 55     11x11 convolution, 96, stride 4, response norm      C1
stage1  27 x 27     3x3 max pool, 5x5 convolution, 256, response norm   S2, C3
stage2  13 x 13     3x3 max pool, 3x3 convolutions, 384, 384, 256       S4, C5 to C7
stage3  6 x 6       3x3 max pool                                        S8
======  ==========  ==================================================  ==================

What the towers did not see of each other is seen here, so it has more parameters and more multiply-adds than the
network that it stands for. Departures: response normalisation has the constants of the 2012 paper.
"""

from __future__ import annotations

from striate.core.paper import Paper
from striate.models.alexnet_2012 import AlexNet2012, AlexNet2012Spec
from striate.models.registry import register

PAPER = Paper(
    authors="Geron",
    year=2019,
    month=9,
    title="Hands-On Machine Learning with Scikit-Learn, Keras, and TensorFlow, 2nd edition",
    ref="ISBN 978-1-492-03264-9, chapter 14",
)

VARIANTS = {"alexnet_hml": AlexNet2012Spec(towers=1)}
TINY = AlexNet2012Spec(widths=(3, 4, 5, 4, 3), towers=1, hidden=16)

register(AlexNet2012, VARIANTS, tiny=TINY, paper=PAPER, input=(3, 227, 227), classes=1000, family=__name__)
