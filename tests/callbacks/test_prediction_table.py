"""What ``predict`` writes."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lightning import LightningModule
from PIL import Image

from callbacks import PredictionTable
from datamodules import Digits, PictureFiles
from defenses import BitDepth, Defended
from main import main
from networks import VanillaConvNet


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.fixture
def pictures(tmp_path):
    """Seven pictures of several sizes and kinds, one in a folder of its own."""
    random = np.random.RandomState(0)
    folder = tmp_path / "pictures"
    (folder / "more, and others").mkdir(parents=True)
    for k in range(6):
        pixels = random.randint(0, 256, (40 + k, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.{('png', 'jpg')[k % 2]}")
    Image.fromarray(random.randint(0, 256, (32, 32), dtype=np.uint8)).save(folder / "more, and others" / "grey.PNG")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_rows_are_the_predictions(classifier, trainer, digits, folder):
    model = classifier()
    found = trainer(PredictionTable(top=2)).predict(model, digits(eval_batch_size=100))
    heading, *rows = table(folder / "predictions.csv")
    assert heading == ["image", "class", "probability", "class 2", "probability 2"]
    shares, classes = torch.cat(found).topk(2)
    assert [row[0] for row in rows] == [str(k) for k in range(360)]
    assert [[int(row[1]), int(row[3])] for row in rows] == classes.tolist()
    assert [float(row[2]) for row in rows] == pytest.approx(shares[:, 0].tolist(), abs=1e-6)
    assert not list(folder.glob(".*"))


def test_two_ranks_write_one_table(classifier, trainer, digits, tmp_path):
    for name, options in (("one", {}), ("two", {"devices": 2, "strategy": "ddp_fork"})):
        callback = PredictionTable(str(tmp_path / f"{name}.csv"))
        trainer(callback, **options).predict(classifier(), digits(eval_batch_size=37), return_predictions=False)
    assert (tmp_path / "one.csv").read_text() == (tmp_path / "two.csv").read_text()


def test_a_folder_of_pictures_from_the_command_line(pictures, tmp_path):
    torch.save(VanillaConvNet(3, num_classes=3).state_dict(), tmp_path / "weights.pt")
    network = ["VanillaConvNet", "--model.network.depth=3", "--model.network.num_classes=3"]
    network += [f"--model.network.weights={tmp_path / 'weights.pt'}"]
    data = ["PictureFiles", f"--data.root={pictures}", "--data.crop_size=32", "--data.classes=[cat,dog,owl]"]
    command = ["predict", "--model=Classifier", "--model.network", *network, "--data", *data, "--data.batch_size=3"]
    main([*command, "--trainer.accelerator=cpu", "--name=folder"])
    heading, *rows = table(tmp_path / "runs" / "folder" / "version_0" / "predictions.csv")
    assert heading == ["image", "class", "probability"]
    assert [row[0] for row in rows] == [
        "0.png",
        "1.jpg",
        "2.png",
        "3.jpg",
        "4.png",
        "5.jpg",
        "more, and others/grey.PNG",
    ]
    assert {row[1] for row in rows} <= {"cat", "dog", "owl"}
    defense = Path(__file__).parents[2] / "configs" / "plugins" / "input_defense.yaml"
    main(["predict", "-c", str(defense), *command[1:], "--trainer.accelerator=cpu", "--name=behind"])
    heading, *behind = table(tmp_path / "runs" / "behind" / "version_0" / "predictions.csv")
    assert [row[0] for row in behind] == [row[0] for row in rows]
    assert all(row[2] != undefended[2] for row, undefended in zip(behind, rows))


def test_a_defended_network_from_a_config(pictures, tmp_path):
    torch.manual_seed(0)
    torch.save(VanillaConvNet(3, num_classes=3).state_dict(), tmp_path / "weights.pt")
    inner = {"class_path": "VanillaConvNet", "init_args": {"depth": 3, "num_classes": 3}}
    defended = {"network": inner, "defense": {"class_path": "BitDepth", "init_args": {"bits": 2}}}
    network = {"class_path": "Defended", "init_args": defended}
    content = {"model": {"class_path": "Classifier", "init_args": {"network": network}}}
    data = ["--data=PictureFiles", f"--data.root={pictures}", "--data.crop_size=32"]
    command = ["predict", "-c", "defended.yaml", *data, "--trainer.accelerator=cpu", "--name=defended"]
    (tmp_path / "defended.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match="predict needs trained weights"):
        main(command)
    inner["init_args"]["weights"] = str(tmp_path / "weights.pt")
    (tmp_path / "defended.yaml").write_text(yaml.safe_dump(content))
    main(command)
    _, *rows = table(tmp_path / "runs" / "defended" / "version_0" / "predictions.csv")
    network = VanillaConvNet(3, num_classes=3, weights=str(tmp_path / "weights.pt")).eval()
    read = PictureFiles(str(pictures), crop_size=32)
    read.setup("predict")
    images = torch.cat([images for images, _ in read.predict_dataloader()])
    with torch.no_grad():
        shares, classes = Defended(network, BitDepth(2))(images).softmax(1).max(1)
        undefended = network(images).softmax(1).amax(1)
    assert [row[1] for row in rows] == [str(label) for label in classes.tolist()]
    assert [float(row[2]) for row in rows] == pytest.approx(shares.tolist(), abs=2e-6)
    assert (shares - undefended).abs().min() > 1e-4


def test_pictures_are_cut_and_named(pictures, tmp_path):
    (tmp_path / "synsets.txt").write_text("n01 tench, Tinca tinca\nn02 goldfish\n")
    data = PictureFiles(str(pictures), crop_size=32, synsets=str(tmp_path / "synsets.txt"), batch_size=4)
    data.setup("predict")
    batches = list(data.predict_dataloader())
    assert [len(images) for images, _ in batches] == [4, 3]
    assert batches[0][0].shape == (4, 3, 32, 32)
    assert float(batches[0][0].max()) <= 1
    assert data.classes == ["tench", "goldfish"]


def test_refused_in_words(classifier, trainer, digits, pictures, tmp_path):
    with pytest.raises(ValueError, match="top=0 must be 1 or more"):
        PredictionTable(top=0)
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
        PictureFiles("nowhere").setup("predict")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no pictures"):
        PictureFiles(str(tmp_path / "empty")).setup("predict")
    with pytest.raises(ValueError, match="it serves predict only"):
        PictureFiles(str(pictures)).setup("fit")
    with pytest.raises(ValueError, match="batch_size=0 must be 1 or more"):
        PictureFiles(str(pictures), batch_size=0)

    class Silent(LightningModule):
        def predict_step(self, batch, batch_idx):
            return batch[0]

    with pytest.raises(TypeError, match="returns class probabilities"):
        trainer(PredictionTable()).predict(Silent(), Digits())
