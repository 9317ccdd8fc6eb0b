"""ImageNet networks by their torchvision name."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from networks.network import Network
from networks.normalize import IMAGENET_MEAN, IMAGENET_STD
from networks.weights import load_weights

# The families that fall into the two halves of a Network; tests compare each with the plain torchvision model.
RESNETS = ("resnet", "resnext", "wide_resnet")
FAMILIES = ("alexnet", "vgg", "googlenet", "inception", *RESNETS, "densenet", "squeezenet", "mobilenet", "efficientnet")


class TorchvisionClassifier(Network):
    """A convolutional classifier of torchvision, such as ``vgg16`` or ``resnet50``, held in ``model``.

    The model is built without auxiliary classifiers, and weight files that torchvision publishes fit, also those with
    auxiliary classifiers and old DenseNet names. Its files of GoogLeNet, Inception-v3 and EfficientNetV2-L were trained
    with a mean and std of 0.5 in every channel, all others with the default ones. Nothing is downloaded.

    Args:
        name: torchvision's name of an AlexNet, VGG, GoogLeNet, Inception-v3, ResNet, ResNeXt, Wide ResNet, DenseNet,
            SqueezeNet, MobileNet or EfficientNet.
        num_classes: number of classes, or width of the embedding.
        mean: of each channel in [0, 1].
        std: of each channel in [0, 1].
        weights: file to start from, see ``networks.load_weights``.
    """

    def __init__(
        self,
        name: str = "resnet18",
        num_classes: int = 1000,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        weights: str | None = None,
    ) -> None:
        super().__init__(mean, std)
        if len(mean) != 3:
            raise ValueError(f"torchvision's networks take RGB images, but mean has {len(mean)} values: give three")
        self.name = name
        self.model = _build(name, num_classes)
        self.smallest = _smallest_size(name)
        if weights is not None:
            load_weights(self, weights)

    def convolve(self, images: Tensor) -> Tensor:
        if min(images.shape[-2:]) < self.smallest:
            raise ValueError(
                f"{self.name} takes images of at least {self.smallest}x{self.smallest}, but got "
                f"{images.shape[-2]}x{images.shape[-1]}: resize the data or choose another network"
            )
        for layer in _halves(self.model)[0]:
            images = layer(images)
        return images

    def head(self, features: Tensor) -> Tensor:
        for layer in _halves(self.model)[1]:
            features = layer(features)
        return features

    def rename_weights(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take torchvision's own files: names without ``model.``, auxiliary classifiers, old names of DenseNet."""
        if not any(name.startswith("model.") for name in weights):
            weights = {f"model.{name}": tensor for name, tensor in weights.items()}
        auxiliary = re.compile(r"model\.(aux1|aux2|AuxLogits)\.")
        weights = {name: tensor for name, tensor in weights.items() if not auxiliary.match(name)}
        if self.name.startswith("densenet"):  # denselayer1.norm.1.weight became denselayer1.norm1.weight
            weights = {re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", name): weights[name] for name in weights}
        return weights


def _halves(model: nn.Module) -> tuple[list[nn.Module], list[nn.Module]]:
    """What torchvision's forward pass applies up to the last convolutional map, and from there to the scores."""
    kind, children = type(model).__name__, dict(model.named_children())
    pool = children.get("avgpool", nn.AdaptiveAvgPool2d(1))  # a function in DenseNet and MobileNetV2
    if "features" not in children:  # ResNet, GoogLeNet and Inception-v3 call their children in order
        layers, pool_index = list(children.values()), list(children).index("avgpool")
        return layers[:pool_index], [pool, nn.Flatten(), *layers[pool_index + 1 :]]
    features, classifier = children["features"], children["classifier"]
    if kind == "SqueezeNet":  # classifies by a convolution and pools afterwards
        return [features], [classifier, nn.Flatten()]
    if kind == "DenseNet":  # its last ReLU is a function, too
        return [features, nn.ReLU()], [pool, nn.Flatten(), classifier]
    return [features], [pool, nn.Flatten(), classifier]


def _build(name: str, num_classes: int) -> nn.Module:
    """The untrained torchvision model, in torchvision's own initialisation."""
    models = import_module("torchvision.models")  # here, as it takes a second
    known = [known for known in models.list_models(module=models) if known.startswith(FAMILIES)]
    if name not in known:
        nearest = get_close_matches(name, known, n=3, cutoff=0.0)
        raise ValueError(f"name={name!r} is no supported network of torchvision: the nearest are {', '.join(nearest)}")
    options: dict[str, Any] = {"num_classes": num_classes}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "transform_input": False, "init_weights": True}
    model: nn.Module = models.get_model(name, weights=None, **options)
    return model


def _smallest_size(name: str) -> int:
    """Height and width of the smallest images that torchvision documents for a network."""
    models = import_module("torchvision.models")
    smallest: int = models.get_model_weights(name).DEFAULT.meta["min_size"][0]
    return smallest
