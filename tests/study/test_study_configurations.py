"""What is compared: rows that cannot be left out silently, products and stars, sets of auxiliary tasks."""

import pyarrow.parquet as pq
import pytest

from polytask.config.study import StudyConfig, validate_study
from polytask.errors import UserError
from polytask.fitting.preparing.prepare import Prepared, prepare
from polytask.study.configurations import (
    Configuration,
    all_specs,
    configurations,
    reference,
)

FIT = {"inputs": ["x0", "x1"], "epochs": 1, "batch_size": 256, "ensemble": 1, "test_fraction": 0.2}


@pytest.fixture
def compared(log):
    """The configurations of a study, by what is said of it."""
    table = pq.read_table(log)

    def make(tasks: tuple[str, ...] = ("click", "like"), **changes: object):
        config: StudyConfig = validate_study(
            {"fit": {**FIT, "tasks": list(tasks)}, "balancers": ["mgda"], **changes}
        )
        fit = config.fit.model_copy(update={"auxiliary": all_specs(config), "baseline": "none"})
        prepared: Prepared = prepare(fit, table)
        goals = [p for p, task in enumerate(prepared.tasks) if not task.auxiliary]
        return configurations(config, prepared, trees=goals)

    return make


def rows(found: list[Configuration]) -> list[str]:
    return list(dict.fromkeys(each.row for each in found))


def test_every_study_has_its_mandatory_rows(compared) -> None:
    found = compared()
    assert rows(found) == [
        *("equal weights", "searched static weights", "random weights", "mgda"),
        *("separate models", "gradient-boosted trees"),
    ]
    assert [each.positions for each in found if each.group == "single"] == [(0,), (1,)]
    assert reference(found).row == "equal weights"


@pytest.mark.parametrize("name", ["single", "static", "rlw", "trees"])
def test_a_row_is_left_out_by_its_name_alone(compared, name: str) -> None:
    groups = {each.group for each in compared()}
    assert {each.group for each in compared(leave_out=[name])} == groups - {name}


def test_named_among_the_rules_a_mandatory_row_is_there_once(compared) -> None:
    found = compared(balancers=["equal", "static", "rlw", "mgda"])
    assert rows(found) == rows(compared())


def test_a_product_has_every_rule_on_every_trunk_and_a_star_changes_one_thing(compared) -> None:
    changes = {"trunks": ["mmoe", "ple", "cgc"], "balancers": ["mgda", "dwa"]}
    product, star = compared(**changes), compared(**changes, design="star")
    shared = [each for each in product if each.group in ("equal", "method")]
    assert len(shared) == 3 * 3
    assert sum(each.group in ("static", "rlw") for each in product) == 2, "once, on the first trunk"
    assert [each.row for each in star if each.group in ("equal", "method")] == [
        *("mmoe, equal weights", "mmoe, mgda", "mmoe, dwa"),
        *("ple, equal weights", "cgc, equal weights"),
    ]


def test_a_star_has_its_middle_where_there_is_something_to_weigh(compared) -> None:
    found = compared(
        ("click",), trunks=["mmoe", "ple"], auxiliary=[[], ["like"]], balancers=[], design="star"
    )
    assert [each.row for each in found if each.group == "equal"] == [
        "mmoe, equal weights, with like",
        "ple, equal weights, with like",
    ]


def test_sets_of_auxiliary_tasks_are_rows_and_one_goal_alone_is_a_separate_model(compared) -> None:
    found = compared(("click",), auxiliary=[[], ["like"], ["coin"], ["like", "coin"]], balancers=[])
    equal = {each.auxiliary.names: each.positions for each in found if each.group == "equal"}
    assert equal == {("like",): (0, 1), ("coin",): (0, 2), ("like", "coin"): (0, 1, 2)}
    assert [each.positions for each in found if each.group == "single"] == [(0,)]
    assert reference(found).auxiliary.names == ("like",)
    assert [each.row for each in found if each.group == "static"] == [
        "searched static weights, with like"
    ]


def test_an_extra_loss_is_weighed_beside_the_tasks(compared) -> None:
    found = compared(("click",), auxiliary=[["masked_columns"]], balancers=[])
    equal = reference(found)
    assert equal.num_losses == 2 and equal.auxiliary.losses == ("masked_columns",)


def test_rules_with_other_options_are_told_apart_and_equal_ones_refused(compared) -> None:
    found = compared(balancers=[{"name": "cagrad", "c": 0.2}, {"name": "cagrad", "c": 0.8}])
    assert {"cagrad (c 0.2)", "cagrad (c 0.8)"} < set(rows(found))
    with pytest.raises(UserError, match="two configurations are named 'mgda'"):
        compared(balancers=["mgda", "mgda"])
