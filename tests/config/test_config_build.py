"""Names and options -> trunks, balancers, monitors; every mistake with the nearest name."""

import pytest
import torch

from polytask.balancing import BALANCERS, MGDA, Smoothed, Static, balanced_backward
from polytask.config import validate_config
from polytask.config.build import build_balancer, build_monitor, build_trunk, offered_options
from polytask.errors import UserError
from polytask.task import binary, regression
from polytask.training import Term
from polytask.trunks import TRUNKS, MMoE


def trunk_of(**options: object) -> object:
    return build_trunk(validate_config(options), in_features=6, num_tasks=2, form=(3, 2, 1))


@pytest.mark.parametrize("name", sorted(TRUNKS))
def test_every_trunk_is_made_by_name(name: str) -> None:
    assert isinstance(trunk_of(trunk=name), TRUNKS[name])


@pytest.mark.parametrize("name", sorted(BALANCERS))
def test_every_balancer_is_made_by_name(name: str) -> None:
    assert build_balancer(name, num_tasks=3).num_tasks == 3


def test_flat_keys_and_a_mapping_are_the_same_options() -> None:
    flat = trunk_of(trunk="mmoe", num_experts=3, expert_hidden="5,4", dropout=0.3)
    mapped = trunk_of(
        trunk={"name": "mmoe", "num_experts": 3, "expert_hidden": [5, 4], "dropout": 0.3}
    )
    assert isinstance(flat, MMoE) and isinstance(mapped, MMoE)
    assert [p.shape for p in flat.parameters()] == [p.shape for p in mapped.parameters()]
    assert flat.experts.dropout == mapped.experts.dropout == 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trunk": "mmoo"}, "unknown trunk 'mmoo' - did you mean 'mmoe'"),
        (
            {"trunk": "shared_bottom", "num_experts": 2},
            "trunk shared_bottom has no option 'num_experts'",
        ),
        (
            {"trunk": {"name": "mmoe", "num_expert": 2}},
            "no option 'num_expert' - did you mean 'num_experts'",
        ),
        (
            {"trunk": {"name": "mmoe", "num_experts": "x"}},
            "num_experts: input should be a valid integer",
        ),
        ({"trunk": {"num_experts": 2}}, "a mapping needs a name"),
        ({"trunk": {"name": "mmoe", "num_experts": 0}}, "num_experts must be at least 1"),
    ],
)
def test_trunk_mistakes(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        trunk_of(**options)


def test_balancer_options_and_mistakes() -> None:
    balancer = build_balancer({"name": "static", "weights": [1, 2.5]}, num_tasks=2)
    assert isinstance(balancer, Static)
    with pytest.raises(UserError, match="unknown balancer 'equals' - did you mean 'equal'"):
        build_balancer("equals", num_tasks=2)
    with pytest.raises(UserError, match="balancer static"):
        build_balancer({"name": "static", "weights": [1, 2, 3]}, num_tasks=2)


def test_wrappers_take_their_rules_by_name() -> None:
    smoothed = build_balancer({"name": "smoothed", "inner": "mgda", "decay": 0.5}, num_tasks=3)
    assert isinstance(smoothed, Smoothed) and isinstance(smoothed.inner, MGDA)
    nested = {"name": "norm_clipped", "inner": {"name": "cagrad", "c": 0.3}}
    joined = {"name": "combined", "loss_rule": "uncertainty", "gradient_rule": nested}
    assert build_balancer(joined, num_tasks=2).num_tasks == 2
    with pytest.raises(UserError, match=r"smoothed: .*inner"):
        build_balancer("smoothed", num_tasks=2)
    with pytest.raises(UserError, match="unknown balancer 'mgdaa' - did you mean 'mgda'"):
        build_balancer({"name": "smoothed", "inner": "mgdaa"}, num_tasks=2)


def test_braces_on_the_command_line_are_a_mapping() -> None:
    config = validate_config({"balancer": "{name: cagrad, c: 0.3}"}, from_text=True)
    assert config.balancer == {"name": "cagrad", "c": 0.3}
    with pytest.raises(UserError, match="this is no mapping"):
        validate_config({"trunk": "{name: mmoe"}, from_text=True)


def test_monitors() -> None:
    tasks = [binary("a"), regression("b", auxiliary=True)]
    assert build_monitor(None, tasks).terms == (Term("a", "auc", 1.0),)
    terms = build_monitor("a.log_loss=2, b.rmse", tasks).terms
    assert terms == (Term("a", "log_loss", 2.0), Term("b", "rmse", 1.0))
    for text, message in {
        "auc": "write TASK.METRIC",
        "c.auc": "unknown task 'c'",
        "a.acu": "unknown metric 'acu' of a binary task - did you mean 'auc'",
        "a.auc=x": "'x' is no number",
        "a.calibration": "no better direction",
    }.items():
        with pytest.raises(UserError, match=message):
            build_monitor(text, tasks)


def drawn(seed: int, spec: object) -> list[float]:
    config = validate_config({"seed": seed, "balancer": spec})
    tasks = [binary("a"), binary("b"), regression("c")]
    offered = offered_options(config, tasks)
    balancer = build_balancer(config.balancer, num_tasks=3, offered=offered)
    losses = [torch.ones((), requires_grad=True) * 1.0 for _ in tasks]
    return balanced_backward(losses, balancer).weights.shared_T.tolist()


@pytest.mark.parametrize("spec", ["rlw", {"name": "smoothed", "inner": "rlw", "decay": 0.5}])
def test_the_run_s_seed_reaches_rules_that_draw(spec: object) -> None:
    assert drawn(0, spec) == drawn(0, spec)
    assert drawn(0, spec) != drawn(1, spec)


def test_a_seed_of_the_rule_s_own_goes_before_the_run_s() -> None:
    assert drawn(0, {"name": "rlw", "seed": 5}) == drawn(1, {"name": "rlw", "seed": 5})


def test_uncertainty_knows_which_losses_are_log_likelihoods() -> None:
    # Kendall et al., CVPR 2018: a squared error has the factor 1/2, a cross-entropy has 1.
    assert drawn(0, "uncertainty") == pytest.approx([1.0, 1.0, 0.5])


def test_a_metric_within_groups_cannot_be_monitored_without_them() -> None:
    with pytest.raises(UserError, match=r"gauc is taken within groups.*by group"):
        build_monitor("click.gauc", [binary("click")], has_groups=False)
    assert build_monitor("click.gauc", [binary("click")], has_groups=True).terms
