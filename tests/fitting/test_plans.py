"""Plans: all models are known, and tried out, before the first one is trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
import torch

import polytask
from polytask.balancing import RLW, NashMTL
from polytask.config import validate_config
from polytask.errors import UserError
from polytask.fitting import Finished, ModelStarted, Prepared, building, fit_events, prepare
from polytask.fitting.building import balancer_of, start_training
from polytask.fitting.own_parts import OwnParts
from polytask.fitting.plan import From, ModelPlan, check_order
from polytask.fitting.planning import multi_task, plans_of
from polytask.fitting.session import Session
from polytask.training.loop import TrainStep
from polytask.training.randomness import drawn_from
from polytask.trunks import CGC, MMoE, SharedBottom

TASKS = ("click:binary", "like:binary")
QUICK: dict[str, object] = {
    "after": "watch_seconds,follow",
    "epochs": 1,
    "batch_size": 256,
    "tower_hidden": (4,),
    "intervals": False,
}


@pytest.fixture
def rows(log: pa.Table) -> pa.Table:
    return log.slice(0, 1500)


def test_the_readme_s_cgc_compares_each_task_with_its_own_experts(rows: pa.Table) -> None:
    trunk = {"name": "cgc", "num_task_experts": [1, 3], "num_shared_experts": 1}
    config = validate_config({"tasks": TASKS, "trunk": trunk, "expert_hidden": "8", **QUICK})
    models = [e.training.model for e in fit_events(config, rows) if isinstance(e, ModelStarted)]
    # A task's own experts and the shared one: each gate has a weight for each expert that it reads.
    gates = [
        [
            len(gate.experts)
            for gate in model.trunk.explain(torch.zeros(1, model.encoder.out_features)).gates
        ]
        for model in models
    ]
    assert gates == [[2, 4], [2], [4]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trunk": {"name": "cgc", "num_task_experts": [1, 2, 3]}}, "num_task_experts"),
        ({"trunk": {"name": "ple", "num_levels": 0}}, "num_levels"),
        ({"balancer": {"name": "static", "weights": [1.0]}}, "weights"),
        ({"monitor": "click.gauc"}, "by group"),
        ({"monitor": "click.auc,lik.auc"}, "did you mean 'like'"),
    ],
)
def test_what_does_not_fit_is_found_before_the_first_step(
    rows: pa.Table, options: dict[str, object], message: str
) -> None:
    steps = 0
    with pytest.raises(UserError, match=message):
        for event in fit_events(validate_config({"tasks": TASKS, **QUICK, **options}), rows):
            steps += isinstance(event, TrainStep)
    assert steps == 0


def test_nothing_is_drawn_where_models_are_only_tried_out(
    rows: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embeddings of a large table would take their time and their memory."""
    config = validate_config({"tasks": TASKS, "trunk": "shared_bottom", **QUICK})
    prepared = prepare(config, rows)
    plans = plans_of(prepared.config, prepared)
    drew: list[bool] = []

    @contextmanager
    def watched(seed: int) -> Iterator[None]:
        with drawn_from(seed):
            before = torch.get_rng_state()
            yield
            drew.append(not torch.equal(torch.get_rng_state(), before))

    monkeypatch.setattr(building, "drawn_from", watched)
    building.try_out(plans, prepared.inputs, OwnParts(), torch.device("cpu"))
    assert drew == [False] * 3
    building.start_training(plans[0], prepared, OwnParts(), device=torch.device("cpu"))
    assert drew[3:] == [True]


@pytest.mark.parametrize("balancer", ["uncertainty", {"name": "smoothed", "inner": "dwa"}])
def test_a_loss_that_can_fall_below_0_is_refused_before_the_first_step(
    rows: pa.Table, balancer: object
) -> None:
    tasks = ["click:binary", polytask.regression("watch_seconds", noise="learned")]
    options = QUICK | {"after": "follow,like", "baseline": "none"}
    with pytest.raises(UserError, match=r"takes no loss below 0.*'watch_seconds'"):
        polytask.fit(rows, tasks, balancer=balancer, **options)
    polytask.fit(rows, tasks, balancer="cagrad", **options)


def test_the_monitor_of_a_single_keeps_its_own_terms(rows: pa.Table) -> None:
    monitor = "click.log_loss=2,like.auc"
    prepared = prepare(validate_config({"tasks": TASKS, "monitor": monitor, **QUICK}), rows)
    configs = [plan.config.monitor for plan in plans_of(prepared.config, prepared)]
    assert configs == [monitor, "click.log_loss=2", "like.auc"]


def test_a_single_starts_at_the_joint_rate_of_a_consequence(rows: pa.Table) -> None:
    """And the joint model at the rate given the parent: their product is the joint rate."""
    config = validate_config({"tasks": TASKS, "given": {"like": "click"}, **QUICK})
    prepared = prepare(config, rows)
    multi, click, like = plans_of(prepared.config, prepared)
    labels = prepared.train.labels
    joint = labels["like"].double().mean().item()
    rates = [task.kind.base_rate for plan in (multi, click, like) for task in plan.tasks]
    assert rates[1] > 2 * joint
    assert rates[0] * rates[1] == pytest.approx(joint)
    assert rates[2:] == pytest.approx([labels["click"].double().mean().item(), joint])
    assert like.tasks[0].given is None


def test_a_trunk_by_class_or_function_and_a_balancer_as_an_object(rows: pa.Table) -> None:
    by_name = polytask.fit(
        rows, TASKS, trunk={"name": "mmoe", "num_experts": 2}, balancer="nash_mtl", **QUICK
    )
    balancer = NashMTL(2)
    by_object = polytask.fit(
        rows, TASKS, trunk=partial(MMoE, num_experts=2), balancer=balancer, **QUICK
    )
    assert by_object.config.trunk == {"name": "mmoe", "num_experts": 2}
    assert by_object.config.balancer == "own"
    assert by_object.predict(rows).equals(by_name.predict(rows))
    # The user's object is not touched: the fit has a copy.
    assert all(map(torch.equal, balancer.buffers(), NashMTL(2).buffers()))


def test_a_trunk_that_is_no_class_of_ours_is_asked_for_again(
    rows: pa.Table, tmp_path: Path
) -> None:
    def narrow(*, in_features: int, num_tasks: int) -> SharedBottom:
        return SharedBottom(in_features, num_tasks, hidden=(6,))

    run = polytask.fit(rows, TASKS, trunk=narrow, out=tmp_path / "run", **QUICK)
    assert run.model.trunk.out_features == 6
    with pytest.raises(UserError, match=r"trunk of your own.*load\(run, trunk=...\)"):
        polytask.load(tmp_path / "run")
    again = polytask.load(tmp_path / "run", trunk=narrow)
    assert again.predict(rows).equals(run.predict(rows))


def test_a_trunk_object_has_no_single_task_baseline(rows: pa.Table) -> None:
    prepared = prepare(validate_config({"tasks": TASKS, **QUICK}), rows)
    width = polytask.fit(rows, TASKS, baseline="none", **QUICK).model.encoder.out_features
    trunk = CGC(width, 2, expert_hidden=(8,))
    with pytest.raises(UserError, match='baseline="none"'):
        polytask.fit(rows, TASKS, trunk=trunk, **QUICK)
    run = polytask.fit(rows, TASKS, trunk=trunk, baseline="none", **QUICK)
    assert len(prepared.tasks) == run.model.trunk.num_tasks
    assert run.model.trunk is not trunk


def test_the_class_of_a_balancer_is_no_balancer(rows: pa.Table) -> None:
    with pytest.raises(UserError, match="make one, NashMTL"):
        polytask.fit(rows, TASKS, balancer=NashMTL, **QUICK)


def test_one_task_may_be_a_text(rows: pa.Table) -> None:
    run = polytask.fit(rows, "click:binary", baseline="none", **QUICK)
    assert [task.name for task in run.tasks] == ["click"]


def stage(prepared: Prepared, name: str, **changes: object) -> ModelPlan:
    plan = multi_task(prepared.config.model_copy(update=changes), prepared)
    return ModelPlan(name, "stage", plan.config, plan.tasks, plan.train, plan.valid, plan.test)


def test_a_plan_starts_where_an_earlier_one_ended(rows: pa.Table) -> None:
    prepared = prepare(validate_config({"tasks": TASKS, "baseline": "none", **QUICK}), rows)
    first = stage(prepared, "pre-train")
    main = multi_task(prepared.config, prepared)
    joint = ModelPlan(
        *(main.name, "main", main.config, main.tasks, main.train, main.valid, main.test),
        start=From("pre-train"),
    )
    session = Session(
        prepared.config, prepared, [first, joint], torch.device("cpu"), OwnParts(), None
    )
    session.check()
    started: dict[str, dict[str, torch.Tensor]] = {}
    for plan in session.plans:
        for event in session.run(plan):
            if isinstance(event, ModelStarted):
                state = event.training.model.state_dict()
                started[event.name] = {name: value.clone() for name, value in state.items()}
    ended = session.models["pre-train"].state_dict()
    # What fills x up to a round width is always 0, and its weights are not handed on.
    filled, width = (
        len(prepared.inputs.features()),
        session.models["pre-train"].encoder.out_features,
    )
    for name, value in ended.items():
        last = filled if value.ndim > 1 and value.shape[-1] == width else None
        assert torch.equal(started[main.name][name][..., :last], value[..., :last]), name
    run = session.finish()
    assert set(session.trained) == {main.name}
    assert all(result.single is None for result in run.metrics.tasks.values())


def test_plans_out_of_order_are_refused(rows: pa.Table) -> None:
    prepared = prepare(validate_config({"tasks": TASKS, **QUICK}), rows)
    first, main = stage(prepared, "first"), multi_task(prepared.config, prepared)
    late = ModelPlan(
        *("late", "stage", first.config, first.tasks, first.train, None, None), start=From("last")
    )
    for plans, message in (
        ([first, first, main], "different names"),
        ([first], "main"),
        ([late, main], "starts from 'last'"),
    ):
        with pytest.raises(ValueError, match=message):
            check_order(plans)


def test_a_finished_fit_is_the_last_event(rows: pa.Table) -> None:
    *_, last = fit_events(validate_config({"tasks": TASKS, **QUICK}), rows)
    assert isinstance(last, Finished)


def test_start_weights_are_of_the_run_s_seed_alone(rows: pa.Table) -> None:
    """And the caller's random state stays as it was."""
    prepared = prepare(validate_config({"tasks": TASKS, **QUICK}), rows)

    def weights(seed: int) -> torch.Tensor:
        config = prepared.config.model_copy(update={"seed": seed})
        plan = multi_task(config, prepared)
        run = start_training(plan, prepared, OwnParts(), device=torch.device("cpu"))
        return torch.cat([p.detach().flatten() for p in run.model.parameters()])

    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = weights(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)


def test_rules_that_draw_have_the_run_s_seed(rows: pa.Table) -> None:
    prepared = prepare(
        validate_config({"tasks": TASKS, "balancer": "rlw", "seed": 5, **QUICK}), rows
    )
    balancer = balancer_of(multi_task(prepared.config, prepared), OwnParts())
    assert isinstance(balancer, RLW) and balancer.seed == 5


def test_rows_without_a_group_are_groups_alone(rows: pa.Table) -> None:
    """As one user, all rows of unknown users would be ranked against each other."""
    users = pa.array([None if i % 3 == 0 else f"u{i % 50}" for i in range(len(rows))])
    table = rows.set_column(rows.column_names.index("user_id"), "user_id", users)
    config = validate_config(
        {"tasks": TASKS, "group": "user_id", "valid_fraction": 0, "test_fraction": 0, **QUICK}
    )
    groups = prepare(config, table).train.groups
    assert groups is not None and len(groups) == 1500
    _, sizes = groups.unique(return_counts=True)
    assert sorted(sizes.tolist()) == [1] * 500 + [20] * 50
