"""A data set per task: joined inputs, batches in shares, scores by data set, and what can be wrong."""

import math
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

import polytask
from polytask import fit
from polytask.cli import main
from polytask.config import read_config, validate_config
from polytask.errors import UserError
from polytask.fitting import Finished, Prepared, fit_events, resume_events
from polytask.fitting.planning import plans_of
from polytask.fitting.preparing.prepare import prepare
from polytask.fitting.telling import prepared_lines
from polytask.training.loop import TrainStep

QUICK = {
    "tasks": ["news.label:binary", "reviews.label:regression"],
    "trunk": "shared_bottom",
    "hidden": (8,),
    "tower_hidden": (4,),
    "epochs": 2,
    "batch_size": 32,
    "ensemble": 1,
    "learning_rate": 1e-2,
    "intervals": False,
    "threads": 1,
}


def news(num_rows: int = 640, seed: int = 1) -> pa.Table:
    x_B2 = np.random.default_rng(seed).normal(size=(num_rows, 2))
    label = (x_B2.sum(axis=1) > 0).astype(int)
    return pa.table({"x": x_B2[:, 0], "only_news": x_B2[:, 1], "label": label})


def reviews(num_rows: int = 160, seed: int = 2) -> pa.Table:
    random = np.random.default_rng(seed)
    x, is_red = random.normal(size=num_rows), random.integers(0, 2, num_rows)
    colour = np.array(["blue", "red"])[is_red]
    return pa.table({"x": x, "colour": colour, "label": x + 2.0 * is_red})


def sets() -> dict[str, pa.Table]:
    return {"news": news(), "reviews": reviews()}


def prepared_with(**options: object) -> Prepared:
    own = {"news": {}, "reviews": {}}
    parts = {f"{name}.table": table for name, table in sets().items()}
    config = validate_config({**QUICK, "data": own, **options})
    return prepare(config, parts=parts)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> polytask.Run:
    out = tmp_path_factory.mktemp("run") / "run"
    return fit(data=sets(), out=out, **{**QUICK, "epochs": 12}, shares="uniform")


def test_inputs_are_those_of_all_sets_and_labels_of_their_own() -> None:
    prepared = prepared_with()
    assert set(prepared.inputs.columns) == {"x", "only_news", "colour"}
    news_rows, review_rows = (each.rows for each in prepared.data_sets)
    assert (news_rows["train"], review_rows["train"]) == (range(512), range(512, 640))
    assert [len(review_rows[part]) for part in ("valid", "test")] == [16, 16]
    labels = prepared.train.labels
    for rows, own, other in ((news_rows, "news", "reviews"), (review_rows, "reviews", "news")):
        place = slice(rows["train"].start, rows["train"].stop)
        assert labels[f"{own}.label"][place].isfinite().all()
        assert labels[f"{other}.label"][place].isnan().all()
    # Column 1 is only_news: missing where the set lacks it, fitted on the rows that have it.
    numbers = prepared.train.inputs["numeric"]
    lacking = prepared.inputs.by_name["numeric"].columns.index("only_news")
    assert numbers[512:, lacking].isnan().all() and numbers[:512, lacking].isfinite().all()
    assert prepared.config.data["reviews"].inputs == ("colour", "x")


@pytest.mark.parametrize(
    ("shares", "batches"), [("proportional", (16, 4)), ("sqrt", (13, 7)), ("uniform", (10, 10))]
)
def test_an_epoch_has_batches_of_one_set_in_shares(shares: str, batches: tuple[int, int]) -> None:
    prepared = prepared_with(shares=shares, baseline="none")
    (plan,) = plans_of(prepared.config, prepared)
    stream = plan.stream()
    assert plan.batches == batches and stream.num_batches(0) == 20
    seen: dict[int, list[int]] = {0: [], 1: []}
    for epoch in range(4):
        for index in range(20):
            batch = stream.batch(3, epoch, index)
            own = {int(row >= 512) for row in batch.rows}
            assert len(own) == 1 and stream.num_rows(3, epoch, index) == len(batch)
            seen[own.pop()] += batch.rows.tolist()
            absent = [name for name, label in batch.labels.items() if label.isnan().all()]
            assert len(absent) == 1
    for place, rows in enumerate((range(512), range(512, 640))):
        counts = np.bincount(seen[place], minlength=640)[rows.start : rows.stop]
        # Each row once in every pass over its set, whatever epoch that falls into.
        assert counts.max() - counts.min() <= 1
        assert counts.sum() == 4 * batches[place] * 32
    lines = list(prepared_lines(prepared))
    assert any(
        f"an epoch is 20 batches, each of one data set, in shares: {shares}" in x for x in lines
    )


def test_a_temperature_lies_between_the_named_shares() -> None:
    of = {
        s: plans_of(p.config, p)[0].batches[1]
        for s in (1, 2, 5, 1e9)
        for p in [prepared_with(shares=s)]
    }
    assert of == {1: 4, 2: 7, 5: 9, 1e9: 10}


def test_a_model_for_one_task_sees_its_own_rows_as_often(run: polytask.Run) -> None:
    prepared = prepared_with(shares="uniform")
    main_plan, of_news, of_reviews = plans_of(prepared.config, prepared)
    assert (of_news.batches, of_reviews.batches) == ((10,), (10,))
    for epoch in range(3):
        rows = torch.cat([of_reviews.stream().batch(0, epoch, i).rows for i in range(10)])
        assert rows.min() >= 512
    assert len(of_reviews.valid) == 16 and len(main_plan.valid) == 80
    steps = {line.model for line in run.history}
    assert steps == {"multi-task", "single: news.label", "single: reviews.label"}


def test_scores_are_by_data_set_and_gains_on_the_same_rows(run: polytask.Run) -> None:
    tasks = run.metrics.tasks
    assert tasks["news.label"].test["auc"].value > 0.97
    assert tasks["reviews.label"].test["r2"].value > 0.9
    for name, rows in (("news.label", 64), ("reviews.label", 16)):
        assert tasks[name].test.num_rows == rows == tasks[name].single.test.num_rows
    for name, metric in (("news.label", "auc"), ("reviews.label", "r2")):
        result = tasks[name]
        difference = result.test[metric].value - result.single.test[metric].value
        assert result.gain(metric).value == pytest.approx(difference, abs=1e-9)
    of_news, of_reviews = run.metrics.data.data_sets
    assert (of_news.batches, of_news.share, of_news.passes) == (10, 0.5, 10 / 16)
    assert (of_reviews.rows["train"], of_reviews.passes) == (128, 2.5)


def test_the_mixture_of_one_kind_of_rows_is_the_table_of_all() -> None:
    """Two halves of a table with one label column each learn what the whole table's column says."""
    whole = news(1200)
    halves = {"a": whole.slice(0, 600), "b": whole.slice(600)}
    options = {**QUICK, "tasks": ["a.label:binary", "b.label:binary"], "epochs": 12}
    mixed = fit(data=halves, baseline="none", **options)
    for name in ("a.label", "b.label"):
        assert mixed.metrics.tasks[name].test["auc"].value > 0.97


def test_predictions_and_evaluations_name_their_data_set(run: polytask.Run) -> None:
    loaded = polytask.load(run.config.out)
    table = reviews(50, seed=9)
    alone = run.predict(table, data="reviews")
    assert alone.column_names == ["reviews.label"]
    assert loaded.predict(table, data="reviews").equals(alone)
    both = run.predict(table.drop_columns(["label"]))
    assert (
        both["reviews.label"].equals(alone["reviews.label"]) and "news.label" in both.column_names
    )
    evaluated = loaded.evaluate(table, data="reviews")
    assert list(evaluated) == ["reviews.label"] and evaluated["reviews.label"]["r2"].value > 0.9
    with pytest.raises(UserError, match="say which one's rows these are"):
        run.evaluate(table)
    with pytest.raises(UserError, match="no data set 'review' - did you mean 'reviews'"):
        run.evaluate(table, data="review")
    with pytest.raises(UserError, match="data set 'news': the table lacks a column: 'only_news'"):
        run.predict(table, data="news")
    with pytest.raises(UserError, match="columns of none of the data sets"):
        run.predict(table.select(["colour"]))


def test_files_a_config_and_the_command_line_give_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    news().to_pandas().to_parquet(tmp_path / "news.parquet")
    reviews().to_pandas().to_csv(tmp_path / "reviews.csv", index=False)
    monkeypatch.chdir(tmp_path)
    words = ["polytask", "fit", "--data", "news=news.parquet", "--data", "reviews=reviews.csv"]
    words += ["--task", "news.label:binary", "--task", "reviews.label:regression"]
    words += ["--shares", "sqrt", "--epochs", "1", "--threads", "1", "--baseline", "none"]
    monkeypatch.setattr("sys.argv", [*words, "--out", "one"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    again = read_config(tmp_path / "one" / "run.yaml").model_copy(update={"out": Path("two")})
    assert again.data["reviews"].table == Path("reviews.csv")
    *_, last = fit_events(again)
    one, two = polytask.load("one"), last.run
    for name, value in one.model.state_dict().items():
        assert value.equal(two.model.state_dict()[name]), name
    report = (tmp_path / "one" / "report.html").read_text()
    assert "Balancing of rows" in report and "<strong>Losses:</strong>" in report


def test_a_resumed_mixture_ends_with_the_same_bits(tmp_path: Path) -> None:
    for name, table in sets().items():
        table.to_pandas().to_parquet(tmp_path / f"{name}.parquet")
    data = {name: tmp_path / f"{name}.parquet" for name in sets()}
    options = {**QUICK, "shares": "uniform", "checkpoint_every": 3, "balancer": "mgda"}
    whole = fit(data=data, **options, baseline="none")
    config = validate_config({**options, "data": data, "out": tmp_path / "run", "baseline": "none"})
    events = fit_events(config)
    for _ in (event for event in events if isinstance(event, TrainStep) and event.step == 29):
        break
    events.close()
    *_, last = resume_events(tmp_path / "run")
    assert isinstance(last, Finished)
    for name, value in whole.model.state_dict().items():
        assert value.equal(last.run.model.state_dict()[name]), name


def test_a_data_set_may_have_a_test_table_of_its_own() -> None:
    data = {"news": {"table": news(), "test": news(200, seed=5)}, "reviews": reviews()}
    run = fit(data=data, **QUICK, baseline="none")
    assert run.metrics.tasks["news.label"].test.num_rows == 200
    assert run.metrics.tasks["reviews.label"].test.num_rows == 16
    assert run.metrics.data.data_sets[0].rows == {"train": 576, "valid": 64, "test": 200}


def test_one_column_may_be_whole_numbers_here_and_decimals_there() -> None:
    whole = news().set_column(0, "x", pa.array(range(640)))
    run = fit(data={"news": whole, "reviews": reviews()}, **QUICK, baseline="none")
    assert run.metrics.data.inputs["numeric"] == ("x", "only_news")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": ["a=x.csv", "a=y.csv"]}, "two data sets are named 'a'"),
        ({"data": {"a.b": "x.csv"}}, "a data set's name has no '.'"),
        ({"tasks": ["news.label"]}, "data set 'reviews' has no task"),
        (
            {"tasks": ["news.label", "reviewz.label"]},
            "no data set 'reviewz' - did you mean 'reviews'",
        ),
        ({"tasks": ["label", "reviews.label"]}, "no data set 'label'"),
        (
            {"tasks": ["news.lable", "reviews.label"]},
            "lacks a column: 'lable' - did you mean 'label'",
        ),
        ({"shares": 0.5}, "proportional, sqrt, uniform, or a number"),
        ({"shares": "squrt"}, "proportional, sqrt, uniform, or a number"),
        ({"split_by": "only_news"}, "data set 'reviews': .*'only_news'"),
    ],
)
def test_mistakes_are_one_message(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        prepared_with(**changes)


def test_sets_that_do_not_fit_are_refused() -> None:
    nothing = reviews().set_column(2, "label", pa.nulls(160, pa.float64()))
    with pytest.raises(UserError, match=r"'reviews': no row has a label of task 'reviews.label'"):
        fit(data={"news": news(), "reviews": nothing}, **QUICK)
    text = reviews().set_column(0, "x", pa.array(["many", "few"] * 80))
    with pytest.raises(UserError, match=r"'x' is double in news, .*string in reviews: rename"):
        fit(data={"news": news(), "reviews": text}, **QUICK)
    with pytest.raises(UserError, match="a table beside data sets"):
        fit("news.parquet", data=sets(), **QUICK)
    with pytest.raises(UserError, match="'reviews': it has no table"):
        prepare(
            validate_config({**QUICK, "data": {"news": {}, "reviews": {}}}),
            parts={"news.table": news()},
        )


def test_the_python_of_the_page_runs() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "data_sets.md"
    (code,) = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {"__name__": "docs"}
    exec(compile(code, str(page), "exec"), names)
    run = names["run"]
    assert isinstance(run, polytask.Run) and list(run.metrics.tasks) == [
        "news.topic",
        "reviews.stars",
    ]


def test_shares_are_exact_and_none_is_left_out() -> None:
    from polytask.streams import batches_in_shares

    for temperature in (1, 1.5, 3, math.inf):
        counts = batches_in_shares([10_000, 300, 1], [313, 10, 1], temperature=temperature)
        assert sum(counts) == 324 and min(counts) >= 1
        assert counts == sorted(counts, reverse=True)
    with pytest.raises(UserError, match="1 or more"):
        batches_in_shares([1], [1], temperature=0.9)


def test_pre_training_on_a_task_reads_its_data_set_alone() -> None:
    prepared = prepared_with(shares="uniform", baseline="none", pretrain="reviews.label")
    stage, whole = plans_of(prepared.config, prepared)
    assert (stage.batches, whole.batches) == ((10,), (10, 10))
    stream = stage.stream()
    assert min(stream.batch(0, 0, index).rows.min() for index in range(10)) >= 512
