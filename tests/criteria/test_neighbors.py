"""The same exact neighbours from every backend."""

import sys

import pytest
import torch
from torch.nn import functional as F

from criteria import nearest_neighbors, neighbor_searches, neighbors


def points(count, width, duplicates=0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    found = F.normalize(torch.randn(count, width, generator=generator), dim=1)
    found[count - duplicates :] = found[:duplicates]
    return found


def sorted_out(queries, others, k, skip_self=False):
    """By the definition: all distances, sorted; stable sorting puts equal ones in the order of their indices."""
    squared = (queries.double().unsqueeze(1) - others.double()).square().sum(2).sqrt().float()
    if skip_self:
        squared.fill_diagonal_(torch.inf)
    return squared.sort(dim=1, stable=True).indices[:, :k]


BACKENDS = ["auto", "direct", "torch", "faiss"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("count", "width"), [(40, 2), (300, 10), (300, 200), (1500, 3)])
def test_all_backends_find_the_nearest(backend, count, width):
    if backend == "faiss":
        pytest.importorskip("faiss")
    queries, others = points(50, width, seed=1), points(count, width)
    assert torch.equal(nearest_neighbors(queries, others, 7, backend=backend), sorted_out(queries, others, 7))


@pytest.mark.parametrize("skip_self", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_equal_distances_go_by_index(backend, skip_self):
    if backend == "faiss":
        pytest.importorskip("faiss")
    collapsed = points(200, 10, duplicates=100)
    collapsed[-60:] = collapsed[0]  # far more equal points than neighbours
    found = nearest_neighbors(collapsed, collapsed, 10, skip_self, backend)
    assert torch.equal(found, sorted_out(collapsed, collapsed, 10, skip_self))
    assert not skip_self or (found != torch.arange(200).unsqueeze(1)).all()
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 7)  # 7 at distance 1, 21 at √2 and so on
    assert torch.equal(
        nearest_neighbors(corners, corners, 9, skip_self, backend), sorted_out(corners, corners, 9, skip_self)
    )


@pytest.mark.parametrize("backend", ["torch", "faiss"])
def test_rounding_hides_no_neighbour(backend):
    if backend == "faiss":
        pytest.importorskip("faiss")
    # Distances of 1e-5 beside lengths of 1: scalar products in single precision know nothing of them.
    crowd = points(1, 30) + 1e-5 * points(400, 30, seed=2)
    assert torch.equal(nearest_neighbors(crowd, crowd, 10, True, backend), sorted_out(crowd, crowd, 10, True))


@pytest.mark.parametrize("skip_self", [False, True])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_single_precision_only_proposes(monkeypatch, offset, skip_self):
    monkeypatch.setattr(neighbors, "DOUBLE", (0, 0))
    monkeypatch.setattr(neighbor_searches, "SPARE", 1)
    for others in (points(400, 80), points(400, 10, duplicates=150), points(1, 30) + 1e-4 * points(900, 30, seed=2)):
        others = others + offset
        found = nearest_neighbors(others, others, 10, skip_self, "torch")
        assert torch.equal(found, sorted_out(others, others, 10, skip_self))


def test_the_lowest_of_many_come_from_the_groups_with_the_lowest():
    many = torch.rand(20, 1027, generator=torch.Generator().manual_seed(0))
    for numbers, count in ((many, 1), (many, 3), (many, 20), (many, 50), (many, 100), (many.double(), 20)):
        lowest, columns = neighbor_searches.lowest(numbers, count)
        assert torch.equal(columns, numbers.argsort(1)[:, :count])
        assert torch.equal(lowest, numbers.gather(1, columns))


def test_integers_beyond_single_precision_are_the_same_everywhere():
    pictures = torch.randint(0, 256, (300, 400), generator=torch.Generator().manual_seed(0)).float()
    truth = sorted_out(pictures, pictures, 10, True)
    for backend in ("auto", "direct", "torch"):
        assert torch.equal(nearest_neighbors(pictures, pictures, 10, True, backend), truth)


def test_portions_do_not_matter(monkeypatch):
    others = points(500, 10, duplicates=200)
    whole = nearest_neighbors(others, others, 10, True, "torch")
    monkeypatch.setitem(neighbor_searches.PORTION, "cpu", (1000, 1000))
    assert torch.equal(nearest_neighbors(others, others, 10, True, "torch"), whole)
    assert torch.equal(nearest_neighbors(others, others, 10, True, "direct"), whole)


def test_lower_precision_outside_changes_nothing():
    others = points(400, 40)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = nearest_neighbors(others, others, 5, True, "torch")
    assert torch.equal(found, sorted_out(others, others, 5, True))
    wide, products = points(700, 200), torch.backends.mkldnn.matmul
    for set_it in (
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: setattr(products, "fp32_precision", "bf16"),
    ):
        set_it()
        try:
            assert torch.equal(nearest_neighbors(wide, wide, 5, True, "torch"), sorted_out(wide, wide, 5, True))
            assert products.fp32_precision == "bf16"
        finally:
            torch.set_float32_matmul_precision("highest")
    half = others.bfloat16()
    assert torch.equal(nearest_neighbors(half, half, 5, True), sorted_out(half, half, 5, True))


@pytest.mark.parametrize("count", [2, 20, 300])
@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_not_finite_has_no_neighbours(backend, broken, count):
    if backend == "faiss":
        pytest.importorskip("faiss")
    whole, part = points(count, 10), points(count, 10)
    part[count // 2, 3] = broken
    k = min(5, count)
    for queries, others in ((part, part), (whole, part), (part, whole)):
        with pytest.raises(ValueError, match="NaN or infinite"):
            nearest_neighbors(queries, others, k, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_queries_have_no_neighbours(backend):
    assert nearest_neighbors(torch.zeros(0, 80), points(300, 80), 4, backend=backend).shape == (0, 4)


def test_a_single_point_must_be_finite_too():
    for queries in (torch.full((3, 2), torch.nan), torch.full((300, 200), torch.nan)):
        with pytest.raises(ValueError, match="NaN or infinite"):
            nearest_neighbors(queries, torch.zeros(1, queries.shape[1]), 1)
    pair = torch.full((2, 30_000), torch.nan)  # too wide to be compared directly
    with pytest.raises(ValueError, match="NaN or infinite"):
        nearest_neighbors(pair, pair, 1, skip_self=True)


def test_sums_may_overflow_where_points_do_not():
    large = points(20, 3).double() * 1e300
    assert torch.equal(nearest_neighbors(large, large, 3)[:, 0], torch.arange(20))


def test_without_faiss_torch_searches(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)  # importing it raises, as where it is broken
    monkeypatch.setattr(neighbors, "has_faiss", neighbor_searches.has_faiss.__wrapped__)
    monkeypatch.setattr(neighbors, "FAISS", 0)
    monkeypatch.setattr(neighbors, "DOUBLE", (0, 0))
    others = points(300, 200)
    assert torch.equal(nearest_neighbors(others, others, 5, True), sorted_out(others, others, 5, True))
    with pytest.raises(ImportError, match="install faiss-cpu, or take backend=auto"):
        nearest_neighbors(others, others, 5, backend="faiss")


def test_faiss_searches_where_there_is_much_to_compare(monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(neighbors, "DOUBLE", (64, 2**26))
    many = points(1000, 200)

    def chosen(count, width):
        return type(neighbors.choose("auto", many[:count, :width], many[:, :width]))

    assert chosen(500, 200) is neighbor_searches.FaissSearch
    assert chosen(499, 200) is neighbor_searches.TorchSearch  # fewer than half a million pairs
    assert chosen(500, 134) is neighbor_searches.TorchSearch  # few enough products for double precision
    assert chosen(1000, 68) is neighbor_searches.FaissSearch
    assert chosen(1000, 63) is neighbor_searches.TorchSearch
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert chosen(1000, 200) is neighbor_searches.TorchSearch  # whose products are twice as fast there


@pytest.mark.gpu
@pytest.mark.parametrize("skip_self", [False, True])
@pytest.mark.parametrize("backend", ["auto", "torch", "faiss"])
def test_a_gpu_finds_the_same_neighbours(backend, skip_self):
    if backend == "faiss":
        pytest.importorskip("faiss")
    crowd = points(1, 80) + 1e-5 * points(1500, 80, seed=2)  # which single precision cannot tell apart
    for others in (points(1500, 80, duplicates=300), points(1500, 10), crowd):
        here = nearest_neighbors(others, others, 10, skip_self)
        there = nearest_neighbors(others.cuda(), others.cuda(), 10, skip_self, backend)
        assert there.is_cuda
        assert torch.equal(there.cpu(), here)


@pytest.mark.parametrize(("k", "skip_self"), [(0, False), (9, False), (8, True)])
def test_refuses_more_neighbours_than_there_are(k, skip_self):
    with pytest.raises(ValueError, match=f"k={k} neighbours were asked for among {8 - skip_self}"):
        nearest_neighbors(points(8, 3), points(8, 3), k, skip_self)


def test_refuses_an_unknown_backend():
    with pytest.raises(ValueError, match="backend='annoy' is unknown"):
        nearest_neighbors(points(8, 3), points(8, 3), 1, backend="annoy")
