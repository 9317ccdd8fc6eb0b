import torch

from attacks.goal import Targeted, Untargeted

SCORES = torch.tensor([[-31.0, -30.0, -35.0], [2.0, 2.0, 1.0], [0.0, 1.0, 4.0]])


def test_untargeted_by_hand():
    goal = Untargeted(torch.tensor([1, 0, 0]))
    assert goal.reached(SCORES).tolist() == [False, False, True]  # ties go to the lowest index
    assert goal.margin(SCORES).tolist() == [-1, 0, 4]  # also where all scores are negative
    assert goal.contenders(SCORES, 3).tolist() == [[0, 2], [1, 2], [2, 1]]
    assert goal.contenders(SCORES, 99).tolist() == goal.contenders(SCORES, 3).tolist()
    assert goal.contenders(SCORES, 2).tolist() == [[0], [1], [2]]
    assert goal.lead(SCORES, torch.tensor([2, 1, 1])).tolist() == [-5, 0, 1]


def test_targeted_by_hand():
    goal = Targeted(torch.tensor([0, 1, 2]))
    assert goal.reached(SCORES).tolist() == [False, False, True]
    assert goal.margin(SCORES).tolist() == [-1, 0, 3]
    assert goal.contenders(SCORES, 10).tolist() == [[0], [1], [2]]
    assert goal.lead(SCORES, torch.tensor([0, 1, 2])).tolist() == [-1, 0, 3]


def test_the_loss_rises_towards_the_goal():
    scores = SCORES.clone().requires_grad_()
    expected = -scores.log_softmax(1)[torch.arange(3), torch.tensor([1, 0, 2])]
    for goal, sign in ((Untargeted, 1), (Targeted, -1)):
        torch.testing.assert_close(goal(torch.tensor([1, 0, 2])).loss(scores), sign * expected)


def test_rows_are_kept_together():
    goal = Untargeted(torch.tensor([1, 0, 2]))[torch.tensor([True, False, True])]
    assert isinstance(goal, Untargeted)
    assert goal.labels.tolist() == [1, 2]
