"""The synthetic experiments of Wu, Zhang and Re, in their quick forms."""

import importlib.util
import json
import sys
from pathlib import Path
from statistics import median
from types import ModuleType

import pytest

REPRODUCTION = Path(__file__).resolve().parents[2] / "reproductions" / "wu_synthetic.py"


@pytest.fixture(scope="module")
def wu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wu_synthetic", REPRODUCTION)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_trained_from_its_own_solution_figure_3_has_its_signs(wu, goldens_folder: Path) -> None:
    """The same covariance helps at every size, others harm until the source is large (golden file)."""
    golden = json.loads((goldens_folder / "wu_fig3.json").read_text())
    wanted = golden["corrected_R_D_Q"]["delta_mtl_minus_stl"]
    keys = dict(zip(wu.SOURCES, ("task2_same_cov", "task3_diff_D", "task4_diff_Q")))
    for source, key in keys.items():
        for rows in (200, 3200) if source == wu.SOURCES[0] else (200,):
            place = golden["params"]["source_sizes"].index(rows)
            cases = [wu.figure_3(source, rows, seed) for seed in range(4)]
            found = median(wu.added_error(case, "trained 100 rounds") for case in cases)
            assert (found < 0) == (wanted[key]["median"][place] < 0), (source, rows, found)


def test_the_single_task_error_is_the_golden_one_within_seed_noise(
    wu, goldens_folder: Path
) -> None:
    golden = json.loads((goldens_folder / "wu_fig3.json").read_text())
    cases = [wu.figure_3(wu.SOURCES[0], 50, seed) for seed in range(48)]
    assert median(case.error(wu.own_solution(case)) for case in cases) == pytest.approx(
        golden["corrected_R_D_Q"]["stl_mse_median"], rel=0.25
    )


def test_alignment_mends_what_a_frozen_source_harms(wu) -> None:
    for source in wu.SOURCES[1:]:
        cases = [wu.figure_3(source, 200, seed) for seed in range(6)]
        assert median(wu.added_error(case, "source frozen") for case in cases) > 50
        assert median(wu.added_error(case, "then aligned") for case in cases) < 0


def test_at_the_exact_optimum_no_source_harms(wu) -> None:
    for source in wu.SOURCES[1:]:
        cases = [wu.figure_3(source, 200, seed) for seed in range(3)]
        assert median(wu.added_error(case, "exact optimum") for case in cases) < 0


def test_transfer_vanishes_where_there_are_as_many_directions_as_tasks(wu) -> None:
    found = wu.show_capacity(2)
    assert min(found[1], found[2]) < 0.5 * found[0]
    assert found[6] == pytest.approx(found[0], rel=1e-3) == found[8]


@pytest.mark.slow
def test_reweighting_tells_the_noisy_task_and_changes_little(wu) -> None:
    found = wu.show_reweighting(8)
    assert all(abs(sum(gains) / len(gains)) < 0.03 for gains in found.values())
