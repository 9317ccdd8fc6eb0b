"""Where inputs come from."""

from datamodules.augmentations import Augmentation, RandomCrop, RandomFlip, RandomResizedCrop
from datamodules.cifar import CIFAR10, CIFAR100
from datamodules.digits import Digits
from datamodules.image_datamodule import ImageDataModule
from datamodules.imagenet import ImageNet
from datamodules.mnist import MNIST, FashionMNIST
from datamodules.picture_files import PictureFiles
from datamodules.svhn import SVHN

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "SVHN",
    "Augmentation",
    "Digits",
    "FashionMNIST",
    "ImageDataModule",
    "ImageNet",
    "PictureFiles",
    "RandomCrop",
    "RandomFlip",
    "RandomResizedCrop",
]
