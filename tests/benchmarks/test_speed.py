"""The speed benchmarks run and keep their figures; how fast anything is, is not tested."""

import json
from dataclasses import replace

import pytest
import torch

from benchmarks import input_pipeline, trainer_overhead
from benchmarks.speed import spread, take_turns


def test_contestants_take_turns_and_start_unmeasured():
    calls = []

    def contestant(name):
        def measure():
            calls.append(name)
            return float(len(calls))

        return measure

    assert take_turns({"a": contestant("a"), "b": contestant("b")}, repeats=2) == {"a": [3, 5], "b": [4, 6]}
    assert calls == list("ababab")


def test_spread():
    figures = {"median": 3, "low": 2, "high": 4, "tenth": 1.4, "min": 1, "max": 5}
    assert spread([4.0, 1.0, 2.0, 3.0, 5.0]) == pytest.approx(figures)
    assert set(spread([4.0]).values()) == {4}


def test_every_contestant_gives_the_same_kind_of_batches():
    for loader in input_pipeline.make_loaders(130).values():
        batches = list(loader)
        assert [tuple(images.shape) for images, _ in batches] == [(128, 3, 32, 32), (2, 3, 32, 32)]
        images, labels = batches[0]
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert 0 <= images.min() < 0.01
        assert 0.99 < images.max() <= 1


def test_input_pipeline(tmp_path, capsys):
    input_pipeline.main(["--images", "256", "--repeats", "1", "--json", str(tmp_path / "a" / "kept.json")])
    kept = json.loads((tmp_path / "a" / "kept.json").read_text())
    assert kept["threads"] == 1
    assert kept["images_per_second"][input_pipeline.OURS]["median"] > 0
    assert "| torchvision v2 on tensors" in capsys.readouterr().out


def test_trainer_overhead(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trainer_overhead, "SMALL", replace(trainer_overhead.SMALL, steps=1))
    monkeypatch.setattr(trainer_overhead, "NULL", replace(trainer_overhead.NULL, steps=4))
    trainer_overhead.main(["--rounds", "2", "--json", str(tmp_path / "kept.json")])
    kept = json.loads((tmp_path / "kept.json").read_text())
    null, small = kept["results"]
    assert (null["network"], null["rounds"], small["network"]) == ("null network", 2, "C³(32)")
    for result in kept["results"]:
        assert result["bare_ms"]["median"] > 0
        assert result["trainer_ms"]["median"] > 0
    assert "| null network, fastest tenth" in capsys.readouterr().out


def test_the_aim_is_judged_by_the_fastest_rounds():
    bare, trained = [1.0, 1.0, 5.0], [1.5, 1.5, 9.0]
    null = trainer_overhead.summarise(trainer_overhead.NULL, bare, trained)
    assert null["holds"]
    assert null["added_ms_of_fastest_tenth"] == pytest.approx(0.5)
    assert null["added_ms"]["max"] == pytest.approx(4)
    assert not trainer_overhead.summarise(trainer_overhead.SMALL, bare, trained)["holds"]
