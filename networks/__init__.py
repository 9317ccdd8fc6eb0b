"""What computes: networks that own their normalisation and end in class scores or an embedding."""

from networks.cifar_resnet import CifarResNet
from networks.densenet import CifarDenseNet
from networks.network import Network
from networks.normalize import CIFAR10_MEAN, CIFAR10_STD, IMAGENET_MEAN, IMAGENET_STD, Normalize
from networks.preact_resnet import PreActResNet18, PreActResNet18Kuangliu
from networks.resized import Resized
from networks.torchscript_classifier import TorchScriptClassifier
from networks.torchvision_classifier import TorchvisionClassifier
from networks.vanilla import VanillaConvNet
from networks.vgg import CifarVGG16
from networks.weights import load_weights, misfits
from networks.wide_resnet import WideResNet

__all__ = [
    "CIFAR10_MEAN",
    "CIFAR10_STD",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "CifarDenseNet",
    "CifarResNet",
    "CifarVGG16",
    "Network",
    "Normalize",
    "PreActResNet18",
    "PreActResNet18Kuangliu",
    "Resized",
    "TorchScriptClassifier",
    "TorchvisionClassifier",
    "VanillaConvNet",
    "WideResNet",
    "load_weights",
    "misfits",
]
