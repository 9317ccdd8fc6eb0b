"""RePr on the network of every model config: filters leave and return."""

import pytest

from callbacks import RePr
from main import main
from tests.test_configs import CONFIGS, names

SMALLER = {
    "densenet40": ["--model.network.depth=10"],
    "torchvision": ["--model.network.name=googlenet"],
    "wide_resnet28_10": ["--model.network.depth=10", "--model.network.widen_factor=1"],
}
BARE = ["--trainer.callbacks=[]", "--trainer.enable_checkpointing=false"]  # files of large networks take long
BRIEF = ["--trainer.max_epochs=3", "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=0"]
FEW = ["--data.batch_size=2", "--trainer.accelerator=cpu", "--trainer.callbacks.cycles=1"]


@pytest.fixture
def zeros(monkeypatch):
    """How many filters are zero after each step."""
    counts = []

    def count(self, trainer, pl_module, *_):
        weights = [pl_module.network.get_parameter(site.weight) for site in self.sites]
        counts.append(sum(int((~weight.flatten(1).any(1)).sum()) for weight in weights))

    monkeypatch.setattr(RePr, "on_train_batch_end", count)
    return counts


@pytest.mark.parametrize("name", names(sorted((CONFIGS / "models").glob("*.yaml"))))
def test_filters_of_every_model_leave_and_return(name, zeros):
    """In three epochs of one step: full, pruned, full."""
    model, plugin = CONFIGS / "models" / f"{name}.yaml", CONFIGS / "plugins" / "repr.yaml"
    flags = ["-c", str(CONFIGS / "data" / "digits.yaml"), "-c", str(model), *BARE, "-c", str(plugin)]
    main(["fit", *flags, *BRIEF, *FEW, *SMALLER.get(name, [])])
    assert [count > 0 for count in zeros] == [False, True, False]
