"""The speed benchmarks run and keep their figures; how fast anything is, is not tested."""

import json
from dataclasses import replace

import torch

from benchmarks import input_pipeline, kept_memory, neighbors, trainer_overhead
from benchmarks.speed import judge, spread, take_turns
from networks import VanillaConvNet


def test_contestants_take_turns_and_start_unmeasured():
    calls = []

    def contestant(name):
        def measure():
            calls.append(name)
            return float(len(calls))

        return measure

    assert take_turns({"a": contestant("a"), "b": contestant("b")}, repeats=2) == {"a": [4, 5], "b": [3, 6]}
    assert calls == list("abbaab")


def test_spread():
    figures = spread(list(range(100, 0, -1)))
    assert figures == {"median": 50.5, "low": 41, "high": 61, "min": 1, "max": 100, "figures": 100}
    assert spread([4.0]) == {"median": 4, "low": 4, "high": 4, "min": 4, "max": 4, "figures": 1}


def test_the_interval_holds_the_median_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(2000, 60, generator=generator).exp()  # median 1, skewed
    held = [figures["low"] <= 1 <= figures["high"] for figures in map(spread, samples.tolist())]
    assert 0.94 < sum(held) / len(held) < 0.99


def test_an_aim_is_decided_only_where_the_interval_allows():
    intervals = [{"low": low, "high": high, "figures": 6} for low, high in ((1, 2), (1, 3), (2.5, 3))]
    assert [judge(one, most=2) for one in intervals] == ["holds", "is not decided", "is missed"]


def test_five_figures_decide_nothing():
    assert judge(spread([1.0] * 5), most=2) == "is not decided"
    assert judge(spread([1.0] * 6), most=2) == "holds"


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
    assert "| null network" in capsys.readouterr().out


def test_the_loops_of_a_round_are_compared():
    bare, trained = 2 * [1.0, 5.0, 2.0], 2 * [1.5, 5.5, 2.5]
    null = trainer_overhead.summarise(trainer_overhead.NULL, bare, trained)
    assert {figure for name, figure in null["added_ms"].items() if name != "figures"} == {0.5}
    assert null["aim"] == "holds"
    assert trainer_overhead.summarise(trainer_overhead.SMALL, bare, trained)["aim"] == "is missed"


def test_steps_are_timed_in_processes_of_both_kinds(monkeypatch, capsys):
    small = kept_memory.Subject(lambda: VanillaConvNet(width=4), 4, 32)
    monkeypatch.setitem(kept_memory.SUBJECTS, "small", small)
    kept_memory.main(["--only", "small", "--steps", "2", "--child", "returns"])
    time, memory = (float(word) for word in capsys.readouterr().out.split())
    assert time > 0
    assert memory > 50
    figures = {True: (3.0, 110.0), False: (4.0, 100.0)}
    monkeypatch.setattr(kept_memory, "in_a_process", lambda name, keep, steps: figures[keep])
    result = kept_memory.measure("small", rounds=6, steps=1)
    assert result["time"]["median"] == 0.75
    assert result["memory"]["median"] == 1.1
    assert result["aims"] == ["holds", "holds"]
    assert "| small" in kept_memory.render([result])


def test_neighbour_searches_are_timed_beside_plain_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(neighbors, "LEAST_TIME", 0)
    threads = torch.get_num_threads()
    try:
        neighbors.main(["--rounds", "1", "--sizes", "30", "--json", str(tmp_path / "n.json")])
    finally:
        torch.set_num_threads(threads)
    results = json.loads((tmp_path / "n.json").read_text())["results"]
    assert [(one["n"], one["d"], one["clusters"]) for one in results] == [
        (30, 10, 0),
        (30, 200, 0),
        (30, 10, 10),
        (30, 200, 10),
    ]
    assert all(one["auto_ms"]["median"] > 0 and one["plain torch_ms"]["median"] > 0 for one in results)
    assert "30 × 200, clusters" in capsys.readouterr().out
