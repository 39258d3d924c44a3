"""What a notebook shows of a run: a few lines, and the results as a table."""

from dataclasses import replace
from html.parser import HTMLParser

from polytask import Run
from polytask.fitting.run_folder.showing import results_as_html, run_in_words


class Cells(HTMLParser):
    """The texts of a page's cells, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_a_repr_says_tasks_inputs_what_is_unused_and_results(fitted: Run) -> None:
    shown = repr(fitted)
    assert len(shown) < 1000
    click = fitted.metrics.tasks["click"].test["auc"].value
    for words in (
        "click (binary), like (binary), watch (regression)",
        f"{len(fitted.metrics.data.inputs['categorical'])} categorical",
        *fitted.metrics.data.unused_columns,
        f"test metrics: click auc {click:.4f}",
    ):
        assert words in shown


def test_a_repr_stays_short_for_many_tasks_and_before_the_end(fitted: Run) -> None:
    many = [replace(fitted.tasks[0], name=f"task {i}") for i in range(300)]
    assert "task 5 (binary) and 294 more" in run_in_words(many, fitted.record)
    assert run_in_words(many[:1], None) == "<Run of task 0 (binary): not ended>"


def test_a_notebook_shows_every_metric_and_its_gain(fitted: Run) -> None:
    record = fitted.metrics
    rows = Cells(str(fitted._repr_html_())).rows
    has_gain = record.num_single_models > 0
    assert rows[0] == ["task", "metric", "multi-task", *(["gain"] if has_gain else [])]
    metrics = [(t, m.name) for t, r in record.tasks.items() for m in r.test.all_metrics()]
    assert [(row[0], row[1]) for row in rows[1:]] == metrics
    value = record.tasks["click"].test["auc"]
    assert f"{value.value:.4f}" in rows[1][2]
    odd = replace(record, tasks={"<b>": record.tasks["click"]})
    assert Cells(results_as_html(odd)).rows[1][0] == "<b>"
