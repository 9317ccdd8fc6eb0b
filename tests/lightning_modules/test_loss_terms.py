"""What plug-ins make of the training loss is minimised; what is reported stays the criterion's."""

import pytest
import torch
from lightning import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import nn

from datamodules import Digits
from lightning_modules import Classifier

OPTIONS = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "log_every_n_steps": 1,
    "max_epochs": 1,
    "limit_train_batches": 1,
}


class Terms(Callback):
    """Adds terms at the start of training."""

    def __init__(self, *terms):
        self.terms = terms

    def on_train_start(self, trainer, pl_module):
        pl_module.loss_terms.extend(self.terms)


def fit(*callbacks):
    seed_everything(0, verbose=False)
    network = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, 10))
    model = Classifier(network, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0))
    before = model.network[2].weight.detach().clone()
    trainer = Trainer(callbacks=list(callbacks), **OPTIONS)
    trainer.fit(model, Digits(batch_size=50))
    return model.network[2].weight.detach() - before, trainer.callback_metrics


def test_terms_are_applied_in_order_and_minimised():
    plain, figures = fit()
    step, scaled = fit(Terms(lambda loss, *_: 2 * loss, lambda loss, *_: loss + 7))
    torch.testing.assert_close(step, 2 * plain, rtol=1e-5, atol=1e-7)
    assert scaled["train/loss_step"] == pytest.approx(2 * figures["train/loss_step"].item() + 7, rel=1e-6)


def test_figures_are_the_criterions_own():
    _, figures = fit()
    _, scaled = fit(Terms(lambda loss, *_: loss + 0 * loss + 7))
    for name in ("train/loss", "val/loss", "val/acc"):
        assert scaled[name] == figures[name]


def test_a_term_gets_the_batch_and_the_outputs():
    seen = []

    def term(loss, images, outputs, labels):
        seen.append((images.shape, outputs.shape, outputs.requires_grad, labels.shape))
        return nn.functional.cross_entropy(outputs, labels)

    step, _ = fit(Terms(term))
    assert seen == [((50, 3, 32, 32), (50, 10), True, (50,))]
    assert torch.equal(step, fit()[0])


def test_a_term_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="the loss is not finite at or before batch 0"):
        fit(Terms(lambda loss, *_: loss * torch.inf))


def test_terms_are_no_part_of_the_module_and_of_its_averages():
    average = EMAWeightAveraging(decay=0.5)
    module = nn.Linear(2, 2)

    def term(loss, images, outputs, labels):
        return loss + module.weight.sum()

    fit(Terms(term), average)
    assert average._average_model.module.loss_terms == []
    model = Classifier(nn.Linear(2, 2))
    model.loss_terms.append(module)
    assert set(model.state_dict()) == {"network.weight", "network.bias"}
    assert len(list(model.parameters())) == 2
