"""Counts of confused classes."""

import torch
from sklearn.metrics import confusion_matrix

from metrics import ConfusionCounts
from metrics.confusion import count_pairs


def test_counts_equal_those_of_scikit_learn():
    labels, predictions = torch.randint(7, (2, 200), generator=torch.Generator().manual_seed(0))
    counts = count_pairs(predictions, labels, 7)
    assert counts.tolist() == confusion_matrix(labels, predictions, labels=range(7)).tolist()


def test_counts_of_batches_add_up():
    metric = ConfusionCounts(3)
    metric.update(torch.tensor([0, 1]), torch.tensor([0, 2]))
    metric.update(torch.tensor([1]), torch.tensor([2]))
    assert metric.compute().tolist() == [[1, 0, 0], [0, 0, 0], [0, 2, 0]]
    metric.reset()
    assert metric.counts.sum() == 0
