"""Readouts beside scikit-learn's classifiers."""

from copy import deepcopy

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from torch import nn
from torch.nn import functional as F

from attacks import PGD
from criteria import BatchStatistics, GraphSmoothness, NearestNeighbors, SupportVectors


def clouds(count, seed, classes=4, width=6, spread=0.5):
    """Overlapping classes around fixed centres."""
    generator = torch.Generator().manual_seed(seed)
    centres = F.normalize(torch.randn(classes, width, generator=torch.Generator().manual_seed(99)), dim=1)
    labels = torch.randint(classes, (count,), generator=generator)
    return centres[labels] + spread * torch.randn(count, width, generator=generator), labels


TRAIN, TEST = clouds(300, 0), clouds(200, 1)


def on_sphere(outputs):
    return F.normalize(outputs, dim=1).numpy()


@pytest.mark.parametrize("k", [1, 10, 25])
def test_votes_are_those_of_scikit_learn(k):
    readout = NearestNeighbors(k, "uniform")
    readout.remember(*TRAIN, num_classes=4)
    theirs = KNeighborsClassifier(k, algorithm="brute").fit(on_sphere(TRAIN[0]), TRAIN[1].numpy())
    scores = readout(TEST[0])
    assert scores.argmax(1).tolist() == theirs.predict(on_sphere(TEST[0])).tolist()
    torch.testing.assert_close(scores / 10, torch.from_numpy(theirs.predict_proba(on_sphere(TEST[0]))).float())


def test_votes_by_kernel_are_those_of_scikit_learn():
    readout = NearestNeighbors(10, "kernel")
    readout.match(GraphSmoothness(alpha=3.0))
    readout.remember(*TRAIN, num_classes=4)
    theirs = KNeighborsClassifier(10, weights=lambda d: torch.from_numpy(-3 * d).exp().numpy(), algorithm="brute")
    theirs.fit(on_sphere(TRAIN[0]), TRAIN[1].numpy())
    shares = readout(TEST[0])
    shares = shares / shares.sum(1, keepdim=True)
    torch.testing.assert_close(shares, torch.from_numpy(theirs.predict_proba(on_sphere(TEST[0]))).float())


def test_all_images_vote_by_the_mean_of_their_class():
    readout = NearestNeighbors(None)
    readout.remember(*TRAIN, num_classes=5)
    z, points = F.normalize(TEST[0], dim=1), F.normalize(TRAIN[0], dim=1)
    similar = (-2 * torch.cdist(z, points)).exp()
    means = torch.stack([similar[:, TRAIN[1] == label].mean(1) for label in range(4)], dim=1)
    torch.testing.assert_close(readout(TEST[0])[:, :4], 10 * means)
    assert (readout(TEST[0])[:, 4] == 0).all()


def test_ties_go_to_the_lowest_label():
    readout = NearestNeighbors(4, "uniform")
    readout.remember(torch.eye(4), torch.tensor([3, 1, 3, 1]), num_classes=4)
    assert readout(torch.ones(1, 4)).argmax(1).item() == 1


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_support_vectors_are_those_of_scikit_learn(classes):
    (train, labels), (test, _) = clouds(300, 0, classes), clouds(200, 1, classes)
    readout = SupportVectors()
    readout.remember(train, labels, num_classes=classes)
    theirs = SVC(C=1, gamma="scale", break_ties=True).fit(on_sphere(train), labels.numpy())
    assert readout(test).argmax(1).tolist() == theirs.predict(on_sphere(test)).tolist()
    if classes > 2:
        expected = torch.from_numpy(theirs.decision_function(on_sphere(test))).float()
        torch.testing.assert_close(readout(test), expected, rtol=1e-4, atol=1e-5)


def test_a_class_that_support_vectors_never_saw_is_never_chosen():
    train, labels = clouds(100, 0)
    readout = SupportVectors()
    readout.remember(train, 2 * labels, num_classes=8)
    assert set(readout(TEST[0]).argmax(1).tolist()) <= {0, 2, 4, 6}
    with pytest.raises(ValueError, match="of one class"):
        readout.remember(train, torch.zeros(100, dtype=torch.long), num_classes=8)


@pytest.mark.parametrize("readout", [NearestNeighbors(10), NearestNeighbors(None), SupportVectors()])
def test_attacks_go_through(readout):
    readout.remember(*TRAIN, num_classes=4)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 6, bias=False), readout)
    with torch.no_grad():
        model[1].weight.copy_(torch.cat([torch.eye(6), -torch.eye(6)], dim=1))
    images = torch.rand(40, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    result = PGD(eps=0.3, steps=10)(model, images)
    assert result.success.float().mean() > 0.5


def test_uniform_votes_have_no_gradient():
    readout = NearestNeighbors(10, "uniform")
    readout.remember(*TRAIN, num_classes=4)
    with pytest.raises(ValueError, match="no gradient"):
        PGD(eps=0.1, steps=2)(readout, TEST[0].sigmoid())


def test_batches_are_scored_by_their_other_images():
    readout = NearestNeighbors(10)
    readout.num_classes = 5
    outputs, labels = clouds(50, 3)
    scores = readout.score_within(outputs, labels)
    z = F.normalize(outputs, dim=1)
    for image in (0, 7):
        for label in range(4):
            others = [j for j in range(50) if j != image and labels[j] == label]
            mean = (-2 * (z[image] - z[others]).norm(dim=1)).exp().mean()
            assert scores[image, label].item() == pytest.approx(mean.item(), rel=1e-5)
    assert (readout.score_within(outputs[:1], labels[:1]) == 0).all()


def test_a_look_leaves_batch_statistics_alone():
    criterion = GraphSmoothness(normalize=BatchStatistics(6))
    readout = criterion.make_readout()
    readout.match(criterion)
    before = deepcopy(criterion.state_dict())
    readout.remember(*TRAIN, num_classes=4)
    readout.score_within(*TRAIN)
    readout(TEST[0])
    assert criterion.training
    assert criterion.embedding.training
    for name, value in criterion.state_dict().items():
        assert torch.equal(value, before[name])


def test_memory_moves_with_the_module_and_is_no_weight():
    readout = NearestNeighbors(1)
    readout.remember(*TRAIN, num_classes=4)
    assert not readout.state_dict()
    assert readout.to("meta").memory["embeddings"].is_meta


def test_refuses_to_guess():
    with pytest.raises(RuntimeError, match="NearestNeighbors remembers no training images yet"):
        NearestNeighbors()(TEST[0])
    with pytest.raises(ValueError, match="there are no training images"):
        NearestNeighbors().remember(TRAIN[0][:0], TRAIN[1][:0], 4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: NearestNeighbors(0), "k=0 must be 1 or more"),
        (lambda: NearestNeighbors(5, "distance"), "weights='distance' is unknown"),
        (lambda: NearestNeighbors(None, "uniform"), "all images have the same scores"),
        (lambda: NearestNeighbors(images_in_fit=-1), "images_in_fit=-1 must be 0 or more"),
        (lambda: SupportVectors(penalty=0), "penalty=0 must be above 0"),
    ],
)
def test_refuses_impossible_options(make, words):
    with pytest.raises(ValueError, match=words):
        make()
