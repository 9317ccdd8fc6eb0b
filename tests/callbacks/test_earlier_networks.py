"""Earlier networks come from run folders as the command line leaves them."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from callbacks.distillation import TEACHER
from callbacks.earlier_networks import load_network
from lightning_modules import Classifier
from main import main
from networks import VanillaConvNet

CONFIGS = Path(__file__).parents[2] / "configs"
RUN = Path("runs/teacher/version_0")
BEST = RUN / "checkpoints" / "best.ckpt"
QUICK = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run of two steps, made once."""
    folder = tmp_path_factory.mktemp("teacher")
    options = [f"--trainer.logger.save_dir={folder / 'runs'}", "--model.network.width=8", "--trainer.accelerator=cpu"]
    main(["fit", "-c", str(CONFIGS / "quickstart.yaml"), "--name=teacher", *QUICK, *options])
    return folder / RUN


@pytest.fixture
def run(run_folder, tmp_path):
    """A copy of it in the current folder."""
    (RUN / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "checkpoints/best.ckpt"):
        (RUN / name).write_bytes((run_folder / name).read_bytes())
    return tmp_path


def edit(**changes):
    config = OmegaConf.load(RUN / "config.yaml")
    for key, value in changes.items():
        OmegaConf.update(config, key.replace("__", "."), value, merge=False)
    OmegaConf.save(config, RUN / "config.yaml")


def test_a_teacher_is_the_network_of_its_run(run):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    teacher = load_network(BEST, TEACHER)
    assert torch.equal(torch.rand(1), expected), "building the teacher used up random numbers"
    assert isinstance(teacher, VanillaConvNet)
    network = VanillaConvNet(depth=5, width=8, global_pool=True)
    network.load_state_dict(teacher.state_dict())
    model = Classifier.load_from_checkpoint(BEST, network=network, weights_only=True).eval()
    images = torch.rand(3, 3, 32, 32)
    assert torch.equal(teacher.eval()(images), model(images))


def test_weights_that_the_run_started_from_are_not_needed(run):
    edit(model__init_args__network__init_args__weights="gone.pt")
    assert load_network(BEST, TEACHER).state_dict().keys()


def test_a_missing_file_is_refused():
    with pytest.raises(FileNotFoundError, match="there is no teacher .*best.ckpt: train one first.*--name teacher"):
        load_network(BEST, TEACHER)


def test_a_file_without_its_run_is_refused(run):
    alone = Path("checkpoints") / "alone.pt"
    alone.parent.mkdir()
    alone.write_bytes(BEST.read_bytes())
    with pytest.raises(FileNotFoundError, match="there is no config.yaml, which would say .* give the option network"):
        load_network(alone, TEACHER)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model__init_args__network": None}, "has no model.init_args.network: only the network of a Classifier"),
        (
            {"model__init_args__readout": {"class_path": "torch.nn.Identity"}},
            "gives embeddings, not class scores",
        ),
        (
            {"model__init_args__criterion": {"class_path": "criteria.GraphSmoothness"}},
            "gives embeddings, not class scores",
        ),
        ({"model__init_args__network__class_path": "networks.Gone"}, "can't be rebuilt .*give the option network inst"),
        (
            {"model__init_args__network": {"class_path": "torch.nn.Flatten"}},
            "can't be rebuilt .*'weights' is not accepted.*",
        ),
        ({"model__init_args__network__init_args__depth": 4}, "does not fit VanillaConvNet: weights unknown"),
        ({"model__init_args__network__init_args__num_classes": 7}, "does not fit VanillaConvNet.*set num_classes=10"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(run, changes, sentence):
    edit(**changes)
    with pytest.raises(ValueError, match=sentence) as caught:
        load_network(BEST, TEACHER)
    assert "\n" not in str(caught.value)
