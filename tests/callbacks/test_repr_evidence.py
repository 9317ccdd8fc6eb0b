"""What rankings are told in a training: held-out images and the run's seed."""

import copy

import pytest
import torch
from lightning import seed_everything

from callbacks import RePr
from datamodules import Digits
from lightning_modules import Classifier
from pruning import Activations, Evidence, Gradients, Random, Taylor
from tests.callbacks.pruning_runs import TwoLayers, fit
from tests.callbacks.test_repr import SECOND

ONCE = (40, 1, 1, 1)


class Kept(Activations):
    """Keeps all that it looked at."""

    def importance(self, network, sites, evidence=None):
        self.batches, self.network, self.sites = list(evidence.batches), copy.deepcopy(network), sites
        return super().importance(network, sites, Evidence(self.batches))


def test_rankings_see_all_validation_images_and_no_others(tmp_path):
    ranking = Kept()
    data = fit(tmp_path, RePr(*ONCE, ranking=ranking), max_epochs=3, data=Digits(batch_size=100)).datamodule
    data.setup("test")
    seen, held_out, tested = (
        {image.numpy().tobytes() for images, _ in batches for image in images}
        for batches in (ranking.batches, data.val_dataloader(), data.test_dataloader())
    )
    assert seen == held_out
    assert not seen & tested


@pytest.mark.parametrize("ranking", [Gradients(), Taylor()], ids=["gradients", "taylor"])
def test_scores_do_not_depend_on_the_trainers_precision(ranking, tmp_path):
    class Twin(Kept):
        def importance(self, network, sites, evidence=None):
            super().importance(network, sites, evidence)
            self.found = ranking.importance(network, sites, Evidence(self.batches))
            return self.found

    twin = Twin()
    fit(tmp_path, RePr(*ONCE, ranking=twin), max_epochs=3, precision="bf16-mixed")
    plain = ranking.importance(twin.network, twin.sites, Evidence(twin.batches))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = ranking.importance(twin.network, twin.sites, Evidence(twin.batches))
    for name, values in plain.items():
        assert torch.equal(values, twin.found[name])
        assert torch.equal(values, mixed[name])


def removed(trainer, ranking, seed):
    """The filters that leave in the two cycles of a run with this seed."""
    seed_everything(seed, verbose=False)
    repr_ = RePr(40, 1, 1, 2, ranking=ranking)
    trainer(repr_, max_epochs=5, limit_train_batches=1, limit_val_batches=1).fit(Classifier(TwoLayers()), Digits())
    return [entry["removed"][SECOND] for entry in repr_.pruned_history]


def test_chance_follows_the_runs_seed(trainer):
    first, again, other = (removed(trainer, Random(), seed) for seed in (1, 1, 2))
    assert first == again
    assert first[0] != first[1]
    assert first != other
    assert removed(trainer, Random(7), 1) == removed(trainer, Random(7), 2)
