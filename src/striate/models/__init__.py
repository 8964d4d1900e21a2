"""Networks: one paper, one file. Importing this package registers every family."""

from __future__ import annotations

from striate.models import airbench as airbench
from striate.models import alexnet as alexnet
from striate.models import alexnet_2012 as alexnet_2012
from striate.models import alexnet_hml as alexnet_hml
from striate.models import cifar_resnet as cifar_resnet
from striate.models import convnext as convnext
from striate.models import convnext_v2 as convnext_v2
from striate.models import densenet as densenet
from striate.models import efficientnet as efficientnet
from striate.models import efficientnet_lite as efficientnet_lite
from striate.models import fcn as fcn
from striate.models import googlenet as googlenet
from striate.models import inception_resnet_v2 as inception_resnet_v2
from striate.models import inception_v3 as inception_v3
from striate.models import lenet as lenet
from striate.models import mlp as mlp
from striate.models import mobilenet_v1 as mobilenet_v1
from striate.models import mobilenet_v2 as mobilenet_v2
from striate.models import nasnet as nasnet
from striate.models import odenet as odenet
from striate.models import resnet as resnet
from striate.models import resnet_v2 as resnet_v2
from striate.models import resnext as resnext
from striate.models import se_inception as se_inception
from striate.models import senet as senet
from striate.models import shake_shake as shake_shake
from striate.models import stochastic_depth as stochastic_depth
from striate.models import unet as unet
from striate.models import vgg as vgg
from striate.models import wide_resnet as wide_resnet
from striate.models import workshop as workshop
from striate.models import xception as xception
from striate.models import zfnet as zfnet
from striate.models.backbone import Backbone, StageInfo
from striate.models.network import DenseModel, ImageModel, StagedModel
from striate.models.registry import REGISTRY, Entry, entries

__all__ = ["REGISTRY", "Backbone", "DenseModel", "Entry", "ImageModel", "StageInfo", "StagedModel", "entries"]
