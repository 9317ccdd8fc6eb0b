"""The graph smoothness loss against its definition."""

import warnings

import pytest
import torch
from torch.nn import functional as F

from criteria import BatchStatistics, Cosine, Euclidean, GraphSmoothness, MeanOfPairs, Mutual
from criteria.graph_smoothness import LOOKS
from criteria.graphs import all_pairs, neighbor_pairs


def batch(count=12, width=5, classes=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(count, width, generator=generator, dtype=dtype)
    return outputs, torch.arange(count) % classes


def by_hand(outputs, labels, k, alpha=2.0, symmetric="union"):
    """The sum over ordered pairs of different classes, pair by pair."""
    z = F.normalize(outputs, dim=1)
    count = len(z)
    distances = [[float((z[i] - z[j]).norm()) for j in range(count)] for i in range(count)]
    chosen = [sorted((j for j in range(count) if j != i), key=lambda j, i=i: distances[i][j])[:k] for i in range(count)]
    total = 0.0
    for i in range(count):
        for j in range(count):
            one, other = j in chosen[i], i in chosen[j]
            edge = {"union": one or other, "mutual": one and other, "none": one}[symmetric]
            if edge and labels[i] != labels[j]:
                total += torch.tensor(-alpha * distances[i][j]).exp().item()
    return total


@pytest.mark.parametrize("symmetric", ["union", "mutual", "none"])
@pytest.mark.parametrize("k", [1, 4, 11])
def test_it_is_the_sum_over_edges_between_classes(k, symmetric):
    outputs, labels = batch()
    loss = GraphSmoothness(k=k, symmetric=symmetric, reduction="sum")(outputs, labels)
    assert loss.item() == pytest.approx(by_hand(outputs, labels, k, symmetric=symmetric), rel=1e-6)


@pytest.mark.parametrize("k", [None, 3])
def test_it_is_the_trace_with_the_laplacian(k):
    outputs, labels = batch()
    criterion = GraphSmoothness(k=k, reduction="sum")
    z = F.normalize(outputs, dim=1)
    weights = criterion.kernel.table(z, z) * criterion.edges(z)
    laplacian = torch.diag(weights.sum(1)) - weights
    signals = F.one_hot(labels).double()
    trace = torch.trace(signals.T @ laplacian @ signals)
    assert criterion(outputs, labels).item() == pytest.approx(trace.item(), rel=1e-9)


def test_all_neighbours_are_the_whole_graph():
    outputs, labels = batch()
    dense = GraphSmoothness()(outputs, labels)
    assert GraphSmoothness(k=11)(outputs, labels) == dense
    assert GraphSmoothness(k=12, include_self=True)(outputs, labels) == dense
    assert GraphSmoothness(k=4, include_self=True)(outputs, labels) == GraphSmoothness(k=3)(outputs, labels)
    assert torch.equal(neighbor_pairs(outputs, 11), all_pairs(outputs))  # the search that all neighbours do without
    assert not torch.equal(neighbor_pairs(outputs, 10), all_pairs(outputs))


@pytest.mark.parametrize("options", [{}, {"k": 3}, {"metric": "cosine"}, {"normalize": BatchStatistics(5)}])
def test_gradients(options):
    outputs, labels = batch()
    criterion = GraphSmoothness(**options).double()
    assert torch.autograd.gradcheck(lambda z: criterion(z, labels), outputs.requires_grad_())


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_coincident_points_have_no_gradient(metric):
    outputs = torch.ones(6, 4, requires_grad=True)
    loss = GraphSmoothness(metric=metric)(outputs, torch.arange(6) % 2)
    (gradient,) = torch.autograd.grad(loss, outputs)
    assert loss.item() == pytest.approx(18 / 30)
    assert not gradient.any()


def test_the_metrics_are_their_formulas():
    (a, _), (b, _) = batch(4), batch(7, seed=1)
    one, other = a.unsqueeze(1), b.unsqueeze(0)
    for metric, distances in (
        (Euclidean(), (one - other).square().sum(2).sqrt()),
        (Cosine(), 1 - (one * other).sum(2) / (one.norm(dim=2) * other.norm(dim=2))),
    ):
        torch.testing.assert_close(metric.table(a, b), distances)
        torch.testing.assert_close(metric.between(one, other), distances)
        near = torch.cdist(metric.points(a), metric.points(b))
        assert torch.equal(near.argsort(1), distances.argsort(1))


def test_all_neighbours_need_no_search(monkeypatch):
    def search(*arguments, **options):
        raise AssertionError

    monkeypatch.setattr("criteria.graphs.nearest_neighbors", search)
    outputs, labels = batch()
    assert GraphSmoothness(k=11)(outputs, labels) == GraphSmoothness()(outputs, labels)
    with pytest.raises(AssertionError):
        GraphSmoothness(k=10)(outputs, labels)


@pytest.mark.parametrize("k", [None, 4])
def test_order_and_names_of_classes_do_not_matter(k):
    outputs, labels = batch()
    criterion = GraphSmoothness(k=k)
    loss = criterion(outputs, labels).item()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    assert criterion(outputs[order], labels[order]).item() == pytest.approx(loss, rel=1e-12)
    assert criterion(outputs, (labels + 1) % 3).item() == pytest.approx(loss, rel=1e-12)


def test_the_reductions():
    outputs, labels = batch()
    total = GraphSmoothness(k=3, reduction="sum")(outputs, labels).item()
    edges = GraphSmoothness(k=3).edges(F.normalize(outputs, dim=1)).sum().item()
    for name, divisor in {"mean": 12 * 11, "per_vertex": 12, "edges": edges}.items():
        assert GraphSmoothness(k=3, reduction=name)(outputs, labels).item() == pytest.approx(total / divisor)
    options = {"k": 3, "metric": Cosine(), "symmetric": Mutual(), "reduction": MeanOfPairs()}  # objects will do, too
    short = {"k": 3, "metric": "cosine", "symmetric": "mutual", "reduction": "mean"}
    assert GraphSmoothness(**options)(outputs, labels) == GraphSmoothness(**short)(outputs, labels)


def test_full_precision_under_autocast():
    near = F.normalize(torch.ones(1, 8) + 1e-3 * torch.randn(20, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    labels = torch.arange(20) % 2
    for metric in ("l2", "cosine"):
        exact = GraphSmoothness(metric=metric)(near.double(), labels)
        torch.set_float32_matmul_precision("medium")
        try:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = GraphSmoothness(metric=metric)(near, labels)
        finally:
            torch.set_float32_matmul_precision("highest")
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(exact.item(), rel=1e-6)
    for criterion in (GraphSmoothness(), GraphSmoothness(normalize=BatchStatistics(8)).bfloat16()):
        assert criterion(near.bfloat16(), labels).dtype == torch.float32


def test_batch_statistics_are_used_in_evaluations():
    outputs, labels = batch(40, 2)
    criterion = GraphSmoothness(normalize=BatchStatistics(2)).double()
    for _ in range(200):
        trained = criterion(3 + 2 * outputs, labels)
    assert criterion.eval()(3 + 2 * outputs, labels).item() == pytest.approx(trained.item(), rel=0.05)


def test_a_last_batch_of_one_image_takes_the_statistics_of_those_before():
    outputs, labels = batch(40, 2)
    embedding = BatchStatistics(2).double()
    embedding(outputs)
    kept = embedding.statistics.running_mean.clone()
    torch.testing.assert_close(embedding(outputs[:1]), embedding.eval()(outputs)[:1], rtol=0, atol=0, check_dtype=True)
    assert torch.equal(embedding.statistics.running_mean, kept)
    assert GraphSmoothness(normalize=embedding.train())(outputs[:1], labels[:1]) == 0


def test_a_batch_of_one_class_is_said_once():
    criterion = GraphSmoothness()
    outputs = torch.randn(5, 3, requires_grad=True)
    with pytest.warns(UserWarning, match="one class only") as caught:
        losses = [criterion(outputs, torch.zeros(5, dtype=torch.long)) for _ in range(2)]
    assert len(caught) == 1
    losses[0].backward()
    assert losses[0] == 0
    assert (outputs.grad == 0).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a test set that is sorted by class, every batch is like this
        GraphSmoothness().eval()(outputs, torch.zeros(5, dtype=torch.long))


@pytest.mark.gpu
def test_a_batch_of_one_class_is_said_on_a_gpu():
    with pytest.warns(UserWarning, match="one class only"):
        GraphSmoothness()(torch.randn(5, 3, device="cuda"), torch.zeros(5, dtype=torch.long, device="cuda"))


def test_only_the_first_batches_are_looked_at():
    criterion = GraphSmoothness()
    outputs, labels = batch()
    for _ in range(LOOKS):
        criterion(outputs, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        criterion(outputs, torch.zeros_like(labels))


def test_small_batches_take_all_neighbours():
    criterion = GraphSmoothness(k=8)
    outputs, labels = batch()
    criterion(outputs, labels)
    last, last_labels = outputs[:5], labels[:5]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert criterion(last, last_labels) == GraphSmoothness()(last, last_labels)
        assert GraphSmoothness(k=8).eval()(last, last_labels) == GraphSmoothness()(last, last_labels)


def test_the_first_batchs_size_is_kept_with_the_weights(tmp_path):
    criterion = GraphSmoothness(k=8)
    outputs, labels = batch()
    criterion(outputs, labels)
    torch.save(criterion.state_dict(), tmp_path / "state")
    resumed = GraphSmoothness(k=8)
    resumed.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    assert resumed(outputs[:5], labels[:5]) == GraphSmoothness()(outputs[:5], labels[:5])
    older = GraphSmoothness(k=8)
    older.load_state_dict({})  # of a time when it was not kept
    with pytest.raises(ValueError, match="8 neighbours besides itself, but the graph has 5 vertices"):
        older(outputs[:5], labels[:5])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": 0}, "alpha=0 must be above 0"),
        ({"alpha": -1.0}, "alpha=-1.0 must be above 0"),
        ({"k": 0}, "k=0 leaves no neighbours: take at least 1"),
        ({"k": 1, "include_self": True}, "take at least 2"),
        ({"scope": "node"}, "scope='node' is unknown"),
        ({"metric": "l1"}, "metric='l1' is unknown: give one of l2, cosine"),
        ({"symmetric": "both"}, "symmetric='both' is unknown"),
        ({"reduction": "max"}, "reduction='max' is unknown"),
        ({"normalize": "bn"}, "normalize='bn' is unknown"),
    ],
)
def test_refuses_impossible_options(options, words):
    with pytest.raises(ValueError, match=words):
        GraphSmoothness(**options)


def test_refuses_as_many_neighbours_as_the_batch_has_images():
    outputs, labels = batch()
    with pytest.raises(
        ValueError, match="to have 12 neighbours besides itself, but the graph has 12 vertices: set k lower"
    ):
        GraphSmoothness(k=12)(outputs, labels)


def test_refuses_labels_of_another_shape_and_takes_none():
    outputs, labels = batch()
    with pytest.raises(ValueError, match=r"labels are of shape \(12, 1\) for outputs of \(12, 5\)"):
        GraphSmoothness()(outputs, labels.unsqueeze(1))
    for reduction in ("mean", "sum", "per_vertex", "edges"):
        assert GraphSmoothness(reduction=reduction)(outputs[:0], labels[:0]) == 0
