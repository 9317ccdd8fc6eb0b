import pytest
import torch

from defenses import BitDepth, Vote, vote


def logits(*probabilities):
    return torch.tensor(probabilities, dtype=torch.float64).log().unsqueeze(1)  # (runs, 1, classes)


def test_the_majority_wins_and_larger_probability_breaks_ties():
    assert vote(logits([0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.01, 0.98, 0.01])).argmax(1) == 0  # two against one
    assert vote(logits([0.6, 0.4, 0.0], [0.1, 0.9, 0.0])).argmax(1) == 1
    assert vote(logits([0.4, 0.6], [0.9, 0.1])).argmax(1) == 0


def test_scores_are_logarithms_of_the_mean_probability():
    scores = torch.randn(10, 50, 7, dtype=torch.float64, requires_grad=True)
    result = vote(scores)
    mean = scores.softmax(2).mean(0)
    agreed = scores.argmax(2).mode(0).values == mean.argmax(1)
    torch.testing.assert_close(result[agreed].exp(), mean[agreed])
    assert agreed.any()
    assert not agreed.all()
    (ours,) = torch.autograd.grad(result[:, 2].sum(), scores, retain_graph=True)
    (theirs,) = torch.autograd.grad(mean.log()[:, 2].sum(), scores)
    torch.testing.assert_close(ours, theirs)


def test_the_winner_is_the_counted_one():
    scores = torch.randn(10, 500, 4, generator=torch.Generator().manual_seed(0))
    winners = vote(scores).argmax(1)
    counts = torch.nn.functional.one_hot(scores.argmax(2), 4).sum(0)
    assert torch.equal(counts.gather(1, winners.unsqueeze(1)).squeeze(1), counts.amax(1))


def test_one_run_keeps_its_scores():
    scores = torch.randn(1, 5, 3)
    assert vote(scores) is not None
    assert torch.equal(vote(scores), scores[0])


def test_what_is_not_random_runs_once(photographs):
    seen = []
    Vote(BitDepth(5), runs=10)(lambda images: seen.append(images) or images.mean((2, 3)), photographs)
    assert len(seen) == 1
    with pytest.raises(ValueError, match="Vote: runs=0 must be at least 1"):
        Vote(BitDepth(5), runs=0)
