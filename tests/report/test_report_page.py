"""The page as a document: complete, self-contained, escaped, and honest about what is missing."""

import itertools
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from polytask.records import (
    Evaluation,
    Gain,
    MetricValue,
    TaskResult,
    TaskScores,
    read_metrics,
    write_metrics,
)
from polytask.report import write_report

VOID = {"meta", "link", "br", "hr", "img", "input"}
LOADING = {"src", "href", "action", "data", "poster", "srcset"}
SECTIONS = ("results", "data", "training", "calibration", "gates", "cost", "repeat")


class Document(HTMLParser):
    """Tags with attributes, text by section, and whatever is not nested as it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: dict[str, str] = Counter()
        self.wrong: list[str] = []
        self._open: list[str] = []
        self._sections = [""]
        self.feed(text)
        self.wrong += [f"<{tag}> is never closed" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self._sections.append(attributes["id"])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()} closes something else")
        if tag in {"td", "th"}:
            self.handle_data(" ")
        if tag == "section":
            self._sections.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text[self._sections[-1]] = self.text.get(self._sections[-1], "") + data

    def all(self, *names: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.tags if tag in names]


def report(folder: Path) -> Document:
    return Document(write_report(folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def document(page: str) -> Document:
    return Document(page)


def test_the_page_is_well_formed_and_loads_nothing(page: str, document: Document) -> None:
    assert document.wrong == []
    addresses = [a[name] for _, a in document.tags for name in LOADING & set(a)]
    assert addresses
    assert all(address.startswith(("#", "data:,")) for address in addresses)
    assert not document.all("script", "iframe", "object", "embed")
    assert "@import" not in page and page.count("url(") == page.count("url(#")
    assert "default-src 'none'" in page


def test_ids_are_unique_and_every_reference_has_one(document: Document) -> None:
    ids = Counter(a["id"] for _, a in document.tags if "id" in a)
    assert [name for name, times in ids.items() if times > 1] == []
    for _, attributes in document.tags:
        reference = attributes.get("href", "")
        assert not reference.startswith("#") or reference[1:] in ids
        clip = attributes.get("clip-path", "url(#figure0-").removeprefix("url(#").rstrip(")")
        assert clip in ids or clip == "figure0-"


def test_every_figure_has_a_caption_and_a_label_and_every_table_a_caption(
    document: Document,
) -> None:
    drawings = document.all("svg")
    # Four tasks in training and scores, pace and weights, three gates, gains.
    assert len(drawings) == 4 + 4 + 2 + 3 + 1
    assert len(document.all("figure")) == len(document.all("figcaption")) == len(drawings)
    assert all(a["role"] == "img" and len(a["aria-label"]) > 20 for a in drawings)
    assert len(document.all("table")) == len(document.all("caption")) == 4
    assert all(a.get("scope") for a in document.all("th"))
    levels = [int(tag[1]) for tag, _ in document.tags if tag in {"h1", "h2", "h3"}]
    assert levels[0] == 1 and all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_names_are_escaped_and_never_markup_or_mathematics(document: Document) -> None:
    assert not document.all("b", "i") or all("class" in a for a in document.all("i"))
    assert 'a<b>&"c"$x$' in document.text["results"]
    assert "<i>city</i>" in document.text["data"]


def test_what_it_says_of_this_run(document: Document) -> None:
    text = {name: " ".join(words.split()) for name, words in document.text.items()}
    assert "better on click; worse on watch; not detectably different on topic and a<b>" in text[""]
    assert "What to try: polytask transfer tells which task is to blame" in text[""]
    assert "training rows 12,345" in text[""]
    assert "my log.parquet · 3 February 2026, 04:05 UTC" in text[""]
    assert "click: AUC, +0.0200 by sharing 0.7200" in text[""]
    assert "topic: macro AUC, +0.0010 by sharing, which may be chance 0.7010" in text[""]
    assert "trained with one seed" in text[""] and "lose" not in text[""]
    assert "AUC how often a yes scores above a no" in text["results"]
    assert "1 not used. Split by time." in text["data"]
    assert "id (nearly one value a row)" in text["data"]
    assert "column 'age' alone gives click AUC 0.987. It was allowed." in text[""]
    assert "no detectable difference" in text["results"]
    assert "+0.0200 +0.0100 to +0.0300" in text["results"]
    assert "25 % yes 12,000 345 (2.8 %)" in text["data"]
    assert "mean 12.50 seconds" in text["data"] and "6 classes, most news 25 %" in text["data"]
    assert "yes is >=18; given click" in text["data"]
    assert "click stopped improving after AUC 0.7500 at step 20." in text["training"]
    assert "rose by 3.2 % until the end" in text["training"]
    assert "In 2 of 3 groups" in text["calibration"]
    assert "where 60 % is predicted, 90 % is observed (too low)" in text["calibration"]
    assert "click leans most on expert 1 (0.70 ± 0.05)" in text["gates"]
    assert "spreads over 4.0 of 4 experts" in text["gates"]
    assert "click and topic only 40 %" in text["gates"]
    assert "the one as a share 25 % 100 % 40 %" in text["cost"]
    assert "/my run/run.yaml' --threads 3 --out" in text["repeat"]
    assert "my log.parquet" in text["repeat"] and "seed 7" in text["repeat"]


@pytest.mark.parametrize(
    ("missing", "empty"),
    [
        (("steps.jsonl",), ("training",)),
        (("figures.json",), ("calibration", "gates")),
        (("metrics.json",), ("results", "data", "cost")),
        (
            ("metrics.json", "figures.json", "steps.jsonl"),
            ("results", "data", "training", "calibration", "gates", "cost"),
        ),
    ],
)
def test_a_missing_file_leaves_its_sections_out_in_words(
    run_folder: Path, missing: tuple[str, ...], empty: tuple[str, ...]
) -> None:
    for name in missing:
        (run_folder / name).unlink()
    document = report(run_folder)
    assert document.wrong == []
    for section in SECTIONS:
        told = re.search(r"(is|are) missing", document.text[section]) is not None
        assert told == (section in empty), section
    assert f"lacks {missing[0]}" in document.text[""]


def test_a_run_without_baseline_intervals_or_test_rows_is_told_so(run_folder: Path) -> None:
    for name in ("figures.json", "steps.jsonl"):
        (run_folder / name).unlink()
    path = run_folder / "metrics.json"
    metrics = json.loads(path.read_text())
    for result in metrics["tasks"].values():
        for gain in result["gains"]:
            gain |= {"low": None, "high": None}
    path.write_text(json.dumps(metrics))
    assert "without intervals, so none can be told from chance" in report(run_folder).text[""]

    for result in metrics["tasks"].values():
        result |= {"single": None, "gains": []}
    metrics["cost"]["single_task"] = None
    path.write_text(json.dumps(metrics))
    document = report(run_folder)
    assert "No single-task models were trained" in document.text[""]
    assert "single-task" not in document.text["results"]

    path.write_text(json.dumps(metrics | {"tasks": {}}))
    document = report(run_folder)
    assert "nothing was measured" in document.text[""]
    assert "no rows were kept for validation or test" in document.text["results"]


def scores_of(name: str, title: str, value: float) -> TaskScores:
    metric = MetricValue(name, value, value - 0.01, value + 0.01, "higher", title)
    return TaskScores(test=Evaluation("binary", 100, 0, None, None, None, None, (metric,), ()))


def rewrite(folder: Path, tasks: dict[str, TaskResult]) -> Document:
    """The report of the same run with other results, and without figures and curves."""
    record = read_metrics(folder)
    assert record is not None
    write_metrics(folder, replace(record, tasks=tasks))
    options = folder / "run.yaml"
    names = "".join(f"- name: {name}\n  column: {name}\n" for name in tasks)
    text = re.sub(r"tasks:\n.*allow:", f"tasks:\n{names}allow:", options.read_text(), flags=re.S)
    options.write_text(text)
    for name in ("figures.json", "steps.jsonl"):
        (folder / name).unlink(missing_ok=True)
    return report(folder)


def test_a_gain_of_two_models_that_lose_to_the_mean_is_told_as_that(run_folder: Path) -> None:
    """R2 of -0.20 beside -0.25: better by sharing, and of no use."""
    ours, theirs = scores_of("r2", "R²", -0.2), scores_of("r2", "R²", -0.25)
    gains = (Gain("r2", 0.05, 0.04, 0.06),)
    told = rewrite(run_folder, {"watch": TaskResult(ours, theirs, gains)}).text[""]
    assert "better on watch. On watch both lose to always predicting the mean" in told
    assert "What to try" not in told
    positive = scores_of("r2", "R²", 0.01)
    told = rewrite(run_folder, {"watch": TaskResult(positive, theirs, gains)}).text[""]
    assert "lose" not in told


def test_many_tasks_are_counted_and_sorted_by_their_gain(run_folder: Path) -> None:
    """Forty tasks, the gain of task t is (t - 20) / 100 with a half-width of 0.055."""
    tasks = {}
    for t in range(40):
        gain = (t - 20) / 100
        gains = (Gain("auc", gain, gain - 0.055, gain + 0.055),)
        one, other = scores_of("auc", "AUC", 0.6 + gain), scores_of("auc", "AUC", 0.6)
        tasks[f"task {t:02}"] = TaskResult(one, other, gains)
    document = rewrite(run_folder, tasks)
    told = " ".join(document.text[""].split())
    assert (
        "better on 14 of 40 tasks; worse on 15 of 40 tasks; not detectably different on 11 of 40"
        in told
    )
    assert "tasks in one model 40 tasks better than by a model of their own 14" in told
    shown = re.findall(r"task \d\d", document.text["results"].partition("All metrics")[0])
    assert shown[:40] == sorted(tasks, reverse=True)


def test_weights_that_never_change_are_told_in_words(run_folder: Path, document: Document) -> None:
    assert "The weights never change" not in document.text["training"]
    path = run_folder / "steps.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if "weights" in line:
            line["weights"] = dict.fromkeys(line["weights"], 2.0)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    changed = report(run_folder)
    assert "All tasks weigh 2 throughout." in changed.text["training"]
    assert len(changed.all("figure")) == len(document.all("figure")) - 1


def test_a_metric_that_was_not_defined_is_no_point_of_a_curve(run_folder: Path) -> None:
    path = run_folder / "steps.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    next(line for line in lines if "score" in line)["metrics"]["click"] = []
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in ("figures.json", "metrics.json"):
        (run_folder / name).unlink()
    told = report(run_folder).text["training"]
    assert "click was validated once: AUC 0.7000 at step 40" in told


def test_a_table_from_memory_has_a_place_in_the_command_and_advice_in_python(
    run_folder: Path,
) -> None:
    record = read_metrics(run_folder)
    assert record is not None
    write_metrics(run_folder, replace(record, advice=("more --epochs may help",)))
    for name in ("figures.json", "steps.jsonl"):
        (run_folder / name).unlink()
    assert "More --epochs may help." in report(run_folder).text[""]
    options = (run_folder / "run.yaml").read_text()
    (run_folder / "run.yaml").write_text(options.partition("\n")[2])
    document = report(run_folder)
    told = document.text["repeat"]
    assert "polytask fit TABLE --config" in told and "handed over in memory" in told
    assert "More epochs may help." in document.text[""]


def test_a_report_is_the_same_every_time_and_goes_where_it_is_sent(run_folder: Path) -> None:
    (run_folder / "metrics.json").unlink()
    first = write_report(run_folder).read_bytes()
    other = write_report(run_folder, out=run_folder.parent / "deep" / "er.html")
    assert other.read_bytes() == first
    assert len(first) < 600_000
    assert not list(other.parent.glob("*.part"))
