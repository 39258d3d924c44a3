"""figures.json: bins, histograms and gates against what they are made of."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import stats

from polytask import Run, fit
from polytask.fitting.figures.calibration import calibration_bins, histogram
from polytask.fitting.figures.explain import MOST_ROWS, explain_trunk
from polytask.fitting.figures.figures import score_figures
from polytask.fitting.preparing.encoding import encode_inputs
from polytask.inputs import SingleInput
from polytask.model import MultiTaskModel
from polytask.records import StepRecord
from polytask.report.reading import read_run
from polytask.streams import Batch
from polytask.task import binary, count, multiclass, regression
from polytask.training.scoring import TaskRows
from polytask.trunks import MTAN

RNG = np.random.default_rng(0)


def bins_of(scores, labels, *, num_bins, rates=True, weights=None):
    weights = np.ones(len(scores)) if weights is None else weights
    return calibration_bins(scores, labels, weights, num_bins=num_bins, rates=rates)


def test_bins_hold_equally_many_rows_and_their_means() -> None:
    scores = RNG.permutation(np.linspace(0.01, 0.99, 1000))
    labels = (RNG.random(1000) < scores).astype(float)
    bins = bins_of(scores, labels, num_bins=10)
    assert [b.rows for b in bins] == [100] * 10
    order = np.argsort(scores)
    np.testing.assert_allclose([b.predicted for b in bins], scores[order].reshape(10, 100).mean(1))
    np.testing.assert_allclose([b.observed for b in bins], labels[order].reshape(10, 100).mean(1))


def test_the_interval_of_a_rate_is_wilson_s() -> None:
    """Against scipy's own, also at rates of 0 and 1."""
    for positives in (0, 3, 40):
        labels = (np.arange(40) < positives).astype(float)
        (only,) = bins_of(np.full(40, 0.3), labels, num_bins=5)
        theirs = stats.binomtest(positives, 40).proportion_ci(method="wilson")
        assert (only.low, only.high) == pytest.approx((theirs.low, theirs.high), abs=1e-7)


def test_equal_weights_change_nothing_and_a_weight_of_two_counts_twice() -> None:
    scores, labels = RNG.random(60), RNG.integers(0, 2, 60).astype(float)
    assert bins_of(scores, labels, num_bins=3) == bins_of(
        scores, labels, num_bins=3, weights=np.full(60, 2.0)
    )
    weights = np.where(labels == 1, 2.0, 1.0)
    (only,) = bins_of(np.full(60, 0.5), labels, num_bins=1, weights=weights)
    assert only.observed == pytest.approx(2 * labels.sum() / weights.sum())


def test_unequal_weights_are_worth_fewer_rows() -> None:
    """30 rows of weight 1 and 30 of weight 2: 90^2 / 150 = 54 rows (Kish)."""
    labels, weights = np.tile([0.0, 1.0], 30), np.repeat([1.0, 2.0], 30)
    (only,) = bins_of(np.full(60, 0.5), labels, num_bins=1, weights=weights)
    theirs = stats.binomtest(27, 54).proportion_ci(method="wilson")
    assert (only.low, only.high) == pytest.approx((theirs.low, theirs.high), abs=1e-7)


def test_rows_of_one_score_are_never_parted() -> None:
    scores = np.repeat([0.1, 0.2, 0.9], [50, 30, 20])
    bins = bins_of(scores, np.zeros(100), num_bins=10)
    assert [(b.rows, round(b.predicted, 9)) for b in bins] == [(50, 0.1), (30, 0.2), (20, 0.9)]


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    values = RNG.normal(5, 2, 400)
    (only,) = bins_of(np.full(400, 1.0), values, num_bins=4, rates=False)
    error = 1.959964 * values.std() / 20
    assert (only.low, only.high) == pytest.approx((values.mean() - error, values.mean() + error))


@pytest.mark.parametrize("scale", ["linear", "log1p", "logit"])
def test_a_histogram_loses_no_row_and_its_cells_are_even_on_the_scale(scale: str) -> None:
    values = RNG.random(500) * 0.98 + 0.01
    drawn = histogram([("a", values, np.ones(500))], scale=scale)
    assert sum(drawn.series[0].counts) == 500
    edges = np.asarray(drawn.edges)
    spread = {"linear": edges, "log1p": np.log1p(edges), "logit": np.log(edges / (1 - edges))}
    widths = np.diff(spread[scale])
    np.testing.assert_allclose(widths, widths[0], rtol=1e-6)


def test_each_kind_of_task_has_figures_and_missing_labels_are_left_out() -> None:
    labels = np.array([0, 1, np.nan, 1] * 50)
    scores = RNG.random(200)
    weights = np.tile([1.0, 1.0, 1.0, 0.0], 50)
    drawn = score_figures(TaskRows(binary("a"), scores, labels, weights, None))
    assert sum(b.rows for b in drawn.calibration) == 100
    assert [(s.name, sum(s.counts)) for s in drawn.histogram.series] == [("no", 50), ("yes", 50)]

    classes = RNG.dirichlet(np.ones(3), 200)
    truth = np.arange(200) % 3
    drawn = score_figures(TaskRows(multiclass("b", num_classes=3), classes, truth, None, None))
    right = (classes.argmax(1) == truth).sum()
    assert [sum(s.counts) for s in drawn.histogram.series] == [200 - right, right]
    assert min(b.predicted for b in drawn.calibration) > 1 / 3

    amounts = RNG.exponential(10, 200)
    for task, scale in (
        (regression("c"), "linear"),
        (regression("c", transform="log1p"), "log1p"),
        (count("d"), "log1p"),
    ):
        drawn = score_figures(TaskRows(task, amounts, amounts, None, None))
        assert drawn.scale == scale
        assert all(b.low <= b.predicted == pytest.approx(b.observed) for b in drawn.calibration)


def test_labels_of_one_class_and_equal_scores_still_have_figures() -> None:
    drawn = score_figures(TaskRows(binary("a"), np.full(20, 1.0), np.zeros(20), None, None))
    assert [b.rows for b in drawn.calibration] == [20]
    assert drawn.calibration[0].low == 0 and np.isfinite(drawn.histogram.edges).all()


def test_figures_of_a_run_are_about_its_test_rows(fitted: Run) -> None:
    figures, tasks = fitted.figures, fitted.metrics.tasks
    assert figures.part == figures.gate_part == "test"
    for drawn in figures.scores:
        assert sum(b.rows for b in drawn.calibration) == tasks[drawn.task].test.num_rows
    click = figures.scores[0]
    assert sum(click.histogram.series[1].counts) == tasks["click"].test.num_positive


def test_gates_are_those_of_the_model_on_evenly_spread_rows(fitted: Run, log: pa.Table) -> None:
    inputs = encode_inputs(fitted.config, log, fitted.inputs)
    fitted.model.train()
    figures = explain_trunk(fitted.model, Batch(inputs)).gates
    assert fitted.model.training
    fitted.model.eval()
    with torch.inference_mode():
        # The rows of all members of the ensemble.
        x_BD = fitted.model.members(fitted.model.encoder(inputs))
        weights_BE = fitted.model.trunk.gates[0](x_BD)
    assert [gate.task for gate in figures] == ["click", "like", "watch", "follow"]
    assert figures[0].mean == pytest.approx(weights_BE.mean(0).tolist(), abs=1e-6)
    assert figures[0].std == pytest.approx(weights_BE.std(0, correction=0).tolist(), abs=1e-6)

    class Seen(torch.nn.Module):
        def forward(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
            self.rows = inputs["numeric"]
            return x_BD[: len(self.rows)]

    seen, encoder = Seen(), fitted.model.encoder
    fitted.model.encoder = seen
    try:
        explain_trunk(fitted.model, Batch({"numeric": torch.arange(3 * MOST_ROWS)}))
    except IndexError:
        pass
    finally:
        fitted.model.encoder = encoder
    assert len(seen.rows) == MOST_ROWS
    assert seen.rows[0] == 0 and seen.rows[-1] == 3 * MOST_ROWS - 1
    assert (seen.rows.diff() >= 2).all()


def test_a_run_without_test_validation_or_gates_says_so(clicks: pa.Table) -> None:
    run = fit(
        clicks,
        ["click"],
        trunk="shared_bottom",
        hidden=(4,),
        valid_fraction=0,
        test_fraction=0,
        epochs=1,
        baseline="none",
        threads=1,
    )
    assert run.figures.part is None and run.figures.scores == ()
    assert run.figures.gates == () and run.figures.gate_part == "train"


def test_the_report_reads_what_fitting_writes(fitted: Run) -> None:
    read = read_run(fitted.config.out)
    assert read.missing == ()
    assert read.tasks == tuple(task.name for task in fitted.tasks)
    assert (read.metrics, read.figures) == (fitted.record, fitted.figures)
    validations = [line for lines in read.validations.values() for line in lines]
    single = [r for r in fitted.history if isinstance(r, StepRecord) and r.model != "multi-task"]
    read_again = [*read.steps, *validations, *single]
    assert sorted(read_again, key=str) == sorted(fitted.history, key=str)
    page = (fitted.config.out / "report.html").read_text(encoding="utf-8")
    assert page.count("<figure") == 4 + 4 + 1 + 4 + 1


def test_a_mask_s_figures_are_of_its_features_means() -> None:
    """Each feature's mean over the rows, then their mean and outer tenths over the features."""
    random = torch.Generator().manual_seed(0)
    tasks = [binary("click"), binary("like")]
    model = MultiTaskModel(SingleInput("x"), MTAN(3, 2, hidden=(8,)), tasks)
    table = Batch({"x": torch.randn(50, 3, generator=random)})
    found = explain_trunk(model, table).masks
    masks = model.eval().trunk.explain(table.inputs["x"]).masks
    assert [figures.task for figures in found] == [tasks[mask.task].name for mask in masks]
    for figures, mask in zip(found, masks):
        mean_H = mask.values_BH.detach().double().numpy().mean(axis=0)
        assert figures.mean == pytest.approx(mean_H.mean())
        assert (figures.low, figures.high) == pytest.approx(np.quantile(mean_H, [0.1, 0.9]))
