"""A defence before a network in test and predict."""

import pytest
import torch
from lightning import Callback, LightningModule, seed_everything
from torch import nn

from attacks import FGSM
from callbacks import DestructionRate, InputDefense
from criteria import GraphSmoothness
from datamodules import Digits
from defenses import BitDepth, Defended, PixelDeflection, RobustActivationMap
from lightning_modules import Classifier
from networks import VanillaConvNet


@pytest.fixture
def model():
    seed_everything(0, verbose=False)
    return Classifier(VanillaConvNet(3, width=8, global_pool=True))


def test_predictions_are_those_of_the_defended_network(model, trainer):
    network, before = model.network, {name: weights.clone() for name, weights in model.state_dict().items()}
    defense = PixelDeflection(400, 5, RobustActivationMap())
    found = torch.cat(trainer(InputDefense(defense, votes=3)).predict(model, Digits(eval_batch_size=90)))
    data = Digits(eval_batch_size=360)
    data.setup("test")
    images, labels = next(iter(data.test_dataloader()))
    with torch.no_grad():
        expected = Defended(network.eval(), defense, votes=3)(images).softmax(1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert model.network is network
    assert all(weights.equal(before[name]) for name, weights in model.state_dict().items())
    (figures,) = trainer(InputDefense(defense, votes=3)).test(model, data, verbose=False)
    assert figures["test/acc"] == pytest.approx((expected.argmax(1) == labels).double().mean().item())


def test_images_pass_it_and_remembered_ones_do_not(trainer):
    """As behind ``DestructionRate``: a memory is part of the trained classifier, and a map is of a class."""
    seed_everything(0, verbose=False)
    model = Classifier(VanillaConvNet(3, width=8, global_pool=True), GraphSmoothness())
    trainer(max_epochs=2).fit(model, Digits())
    defense, memories = PixelDeflection(400, 5, RobustActivationMap()), []

    class Memory(Callback):
        def on_test_end(self, trainer, pl_module):
            memories.append(pl_module.readout.memory["embeddings"])

        on_predict_end = on_test_end

    rates = DestructionRate({"fgsm": FGSM()}, {"pd": defense}, ensemble=1, images=0)
    (beside,) = trainer(rates, Memory()).test(model, Digits(), verbose=False)
    (before,) = trainer(InputDefense(defense), Memory()).test(model, Digits(), verbose=False)
    probabilities = torch.cat(trainer(InputDefense(defense), Memory()).predict(model, Digits()))
    assert before["test/acc"] == beside["test/defended/clean/pd/acc_of_all"] < beside["test/acc"]
    assert len(memories) == 3
    assert all(torch.equal(memory, memories[0]) for memory in memories)
    data = Digits()
    data.setup("test")
    correct = (probabilities.argmax(1) == data.sources["test"].labels).double().mean()
    assert correct.item() == pytest.approx(before["test/acc"])
    assert model.undefended == ()


def test_training_and_its_checkpoint_know_nothing_of_it(model, trainer, digits, folder):
    trainer(InputDefense(BitDepth(1)), max_epochs=1).fit(model, digits())
    names = torch.load(next(folder.glob("checkpoints/*.ckpt")))["state_dict"]
    assert set(names) == set(model.state_dict())


def test_the_network_returns_after_an_error(model, trainer):
    network = model.network

    class Broken(BitDepth):
        def restore(self, images, run):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        trainer(InputDefense(Broken())).test(model, Digits(), verbose=False)
    assert model.network is network


def test_refused_in_words(model, trainer):
    with pytest.raises(ValueError, match="votes=0 must be 1 or more"):
        InputDefense(BitDepth(), votes=0)
    mapped = InputDefense(PixelDeflection(activation_map=RobustActivationMap()))
    plain = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)))
    with pytest.raises(ValueError, match="needs feature maps, but Sequential has no features"):
        trainer(mapped).test(plain, Digits(), verbose=False)
    embedding = Classifier(VanillaConvNet(3), readout=nn.Linear(10, 10))
    with pytest.raises(ValueError, match="makes them of embeddings: set votes to 1"):
        trainer(InputDefense(BitDepth(), votes=3)).test(embedding, Digits(), verbose=False)
    with pytest.raises(ValueError, match="but Silent has none"):
        trainer(InputDefense(BitDepth())).test(Silent(), Digits(), verbose=False)


class Silent(LightningModule):
    """Has no network."""

    def test_step(self, batch, batch_idx):
        """Do nothing."""
