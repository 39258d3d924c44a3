"""Weights per group of parameters: each group is as if it were alone."""

import pytest
import torch

from polytask.balancing import (
    MGDA,
    Equal,
    GradDrop,
    GradNorm,
    GradVac,
    PCGrad,
    UPGrad,
    balanced_backward,
    grouped_backward,
)


def groups_of(model) -> list[list[torch.nn.Parameter]]:
    shared = [*model.experts.parameters(), *model.heads[0].parameters(), model.gates[0].weight]
    return [[*model.numeric.parameters(), model.table.weight], shared]


@pytest.mark.parametrize("rule", [MGDA, PCGrad, UPGrad, GradVac])
def test_each_group_has_the_weights_that_it_would_have_alone(rule, make_mixture) -> None:
    model, outputs = make_mixture()
    groups = groups_of(model)
    records = grouped_backward(outputs.losses, [rule(3), rule(3)], groups)
    found = {name: p.grad for name, p in model.named_parameters()}
    for place, record in enumerate(records):
        model, outputs = make_mixture()
        group = groups_of(model)[place]
        alone = balanced_backward(outputs.losses, rule(3), parameters=group)
        torch.testing.assert_close(record.weights.shared_T, alone.weights.shared_T)
        torch.testing.assert_close(record.gram_TT, alone.gram_TT)
        ids = {id(parameter) for parameter in group}
        for name, parameter in model.named_parameters():
            if id(parameter) in ids or name.startswith(("heads.1", "heads.2", "gates.2")):
                torch.testing.assert_close(found[name], parameter.grad)
    assert not torch.allclose(records[0].weights.shared_T, records[1].weights.shared_T)


def test_one_group_is_balanced_backward_with_a_penalty_and_sparse_tables(make_mixture) -> None:
    grads = []
    for grouped in (False, True):
        model, outputs = make_mixture(sparse=True)
        everything = list(model.parameters())
        if grouped:
            grouped_backward(outputs.losses, [UPGrad(3)], [everything], penalty=model.penalty())
        else:
            losses, penalty = outputs.losses, model.penalty()
            balanced_backward(losses, UPGrad(3), parameters=everything, penalty=penalty)
        assert model.table.weight.grad.is_sparse
        grads.append([p.grad.to_dense() if p.grad.is_sparse else p.grad for p in everything])
    torch.testing.assert_close(*grads)


def test_a_rule_per_coordinate_may_have_a_group(make_mixture) -> None:
    model, outputs = make_mixture()
    first, second = groups_of(model)
    grouped_backward(outputs.losses, [UPGrad(3), GradDrop(3)], [first, second])
    assert all(parameter.grad.any() for parameter in second)


def test_groups_must_hold_every_shared_parameter_once(make_mixture) -> None:
    model, outputs = make_mixture()
    first, second = groups_of(model)
    rules = [MGDA(3), MGDA(3)]
    with pytest.raises(ValueError, match="in no group"):
        grouped_backward(outputs.losses, rules, [first, second[1:]])
    with pytest.raises(ValueError, match="in two groups"):
        grouped_backward(outputs.losses, rules, [first, [*second, first[0]]])
    with pytest.raises(ValueError, match="a balancer a group"):
        grouped_backward(outputs.losses, rules, [first])
    for rule in (Equal, GradNorm):
        with pytest.raises(ValueError, match="weighs losses"):
            grouped_backward(outputs.losses, [MGDA(3), rule(3)], [first, second])
    assert all(parameter.grad is None for parameter in model.parameters())
