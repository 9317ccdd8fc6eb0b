"""A defence before a trained network, in tests and predictions."""

from lightning import Callback, LightningModule, Trainer
from torch import nn

from defenses import Defended, Defense


class InputDefense(Callback):
    """Puts a defence before the network while it is tested or predicts; training and weights stay as they are.

    Whatever else looks at the network then, such as an attack, sees the defended one and attacks through the defence.
    The training images that a readout remembers belong to the trained classifier, so they pass no defence.

    Args:
        defense: changes the images before the network sees them.
        votes: runs of a random defence that vote; the thesis's ensemble has ten.
    """

    def __init__(self, defense: Defense, votes: int = 1) -> None:
        if votes < 1:
            raise ValueError(f"InputDefense: votes={votes} must be 1 or more")
        self.defense, self.votes = defense, votes
        self.network: nn.Module | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage not in ("test", "predict"):
            return
        network = getattr(pl_module, "network", None)
        if not isinstance(network, nn.Module):
            raise ValueError(
                f"InputDefense defends the network of a classifier, but {type(pl_module).__name__} has none: put "
                "defenses.Defended round the network by hand"
            )
        readout = getattr(pl_module, "readout", None)
        if self.votes > 1 and isinstance(readout, nn.Module) and not isinstance(readout, nn.Identity):
            raise ValueError(
                f"InputDefense: votes={self.votes} needs a network that gives class scores, but here "
                f"{type(readout).__name__} makes them of embeddings: set votes to 1"
            )
        Defended(network, self.defense, self.votes)  # what has no feature maps is refused now

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._put(pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._put(pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._take(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._take(pl_module)

    def _put(self, pl_module: LightningModule) -> None:
        self.network = pl_module.network  # type: ignore[assignment]
        # A map is of a class, which a readout may have to tell.
        defended = Defended(self.network, self.defense, self.votes, classifier=pl_module)  # type: ignore[arg-type]
        pl_module.undefended = (self.network,)  # type: ignore[assignment]
        pl_module.network = defended.train(pl_module.training)

    def _take(self, pl_module: LightningModule) -> None:
        if self.network is not None:
            pl_module.network, self.network = self.network, None
            pl_module.undefended = ()  # type: ignore[assignment]
