"""What a study of transfer says, in sentences and rows of tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from polytask.records import Gain, MetricValue
from polytask.records.transfer import (
    CapacityPoint,
    CheapScore,
    Effect,
    GroupingRecord,
    TransferRecord,
)
from polytask.report.formatting import NOTHING, count, listing, number, plural, seconds

ALL, ALONE, RECOMMENDED = "one model for all", "one model a task", "recommended"


@dataclass(frozen=True, slots=True)
class EffectRow:
    """A line of a table of gains: `says` is one of better, worse, none, open."""

    cause: str
    task: str
    metric: str
    gain: Gain
    says: str
    words: str


@dataclass(frozen=True, slots=True)
class GroupingRow:
    """A grouping as the table shows it."""

    title: str
    groups: str
    num_models: int
    expected: float | None
    mean: Gain | None
    says: str
    gains: tuple[EffectRow, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a cheap score ordered the measured gains, in a sentence."""

    title: str
    correlation: float | None
    low: float | None
    high: float | None
    num_gains: int
    says: str
    words: str


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task's labels and its own model's metric."""

    name: str
    kind: str
    labels: str
    metric: str
    alone: str
    remark: str


def verdict(record: TransferRecord) -> str:
    """The answer in one or two sentences."""
    sure = [each for each in record.together if not _too_few(record, each.task)]
    parts = [
        f"{listing(names)} {_is_are(names)} {which} than alone"
        for which in ("better", "worse")
        if (names := [each.task for each in sure if _says(each.gain) == which])
    ]
    if not parts:
        return (
            "In one model for all, no task is detectably better or worse than alone. "
            f"{_advice(record)}"
        )
    return f"In one model for all, {'; '.join(parts)}. {_advice(record)}"


def warnings(record: TransferRecord) -> list[str]:
    """What a reader should know before believing a number."""
    few = [f"{task.name} ({task.too_few})" for task in record.tasks if task.too_few]
    found = [f"Not measurable, for there are too few labels: {listing(few)}."] if few else []
    return [*found, *(f"{note[:1].upper()}{note[1:]}." for note in record.notes)]


def facts(record: TransferRecord) -> list[tuple[str, str]]:
    """Figures of the head of the page, each with what it is."""
    return [
        (str(len(record.order)), "tasks"),
        (count(record.num_trainings), f"trainings under {plural(record.num_seeds, 'seed')}"),
        (count(record.rows["train"]), "training rows"),
        (count(record.rows["valid"]), "validation rows"),
        (seconds(record.seconds), "of training"),
    ]


def judgement(score: CheapScore) -> Judgement:
    """What the rank correlation with the measured gains means."""
    if score.correlation is None or score.low is None or score.high is None:
        return Judgement(
            score.title,
            None,
            None,
            None,
            score.num_gains,
            "open",
            "nothing to compare: too few pairs, or all are alike",
        )
    says, words = "none", "no evidence here that it predicts gains"
    if score.low > 0:
        says, words = "better", "it ordered the gains as they were measured, better than chance"
    elif score.high < 0:
        says, words = "worse", "it ordered the gains the wrong way round: do not choose by it here"
    elif score.low <= -1 and score.high >= 1:
        says, words = "open", "three pairs or fewer say nothing about it"
    return Judgement(
        score.title, score.correlation, score.low, score.high, score.num_gains, says, words
    )


def effect_rows(record: TransferRecord, effects: Sequence[Effect]) -> list[EffectRow]:
    """A line an effect, the strongest first."""
    metrics = {task.name: task.metric for task in record.tasks}
    rows = [
        EffectRow(
            each.cause,
            each.task,
            metrics[each.task],
            each.gain,
            "open" if _too_few(record, each.task) else _says(each.gain),
            "too few labels" if _too_few(record, each.task) else _WORDS[_says(each.gain)],
        )
        for each in effects
    ]
    order = {"better": 0, "worse": 0, "none": 1, "open": 2}
    return sorted(rows, key=lambda row: (order[row.says], -abs(row.gain.value)))


def grouping_rows(record: TransferRecord) -> list[GroupingRow]:
    """A line a way of grouping; one that is another one again says so in its title."""
    rows: list[GroupingRow] = []
    seen: dict[tuple[tuple[str, ...], ...], int] = {}
    for each in record.groupings:
        if each.groups in seen:
            rows[seen[each.groups]] = _renamed(rows[seen[each.groups]], each.title)
            continue
        seen[each.groups] = len(rows)
        rows.append(_grouping_row(record, each))
    return rows


def grouping_words(record: TransferRecord) -> str:
    """What following the recommendation brings, as measured."""
    by_title = {each.title: each for each in record.groupings}
    chosen, whole = by_title.get(RECOMMENDED), by_title.get(ALL)
    if chosen is None or chosen.mean is None:
        return "The recommended grouping was not trained: the budget was spent."
    text = f"Following the recommendation gives a mean gain of {_gain(chosen.mean)} over one model a task"
    if whole is not None and whole.mean is not None and whole.groups != chosen.groups:
        text += f"; one model for all gives {_gain(whole.mean)}"
    part = (
        "test rows, which chose nothing"
        if chosen.part == "test"
        else "validation rows, which chose it"
    )
    return f"{text}, on the {part}."


def harm_words(record: TransferRecord) -> list[str]:
    """Each task that is worse beside the others than alone, who does it, and what mends it."""
    found = []
    for effect in record.together:
        if _says(effect.gain) != "worse" or _too_few(record, effect.task):
            continue
        culprits = [
            each
            for each in record.left_out
            if each.task == effect.task and _says(each.gain) == "better"
        ]
        who = (
            f"leaving {listing([each.cause for each in sorted(culprits, key=lambda e: -e.gain.value)])} out makes it better"
            if culprits
            else "leaving out no single task makes it detectably better"
        )
        mends = [
            r.title
            for r in record.remedies
            if r.task == effect.task and _says(r.over_together) == "better"
        ]
        how = (
            f"; measured to help: {listing(mends)}"
            if mends
            else "; nothing that was tried is detectably better"
        )
        tried = any(remedy.task == effect.task for remedy in record.remedies)
        found.append(
            f"{effect.task} is worse in one model for all than alone ({_gain(effect.gain)}): {who}"
            f"{how if tried else ''}."
        )
    return found


def remedy_rows(record: TransferRecord) -> list[tuple[str, str, EffectRow, EffectRow]]:
    """What was tried for each harmed task: over the model of all, and over its own model."""
    rows = []
    for each in record.remedies:
        both = [
            Effect(each.title, each.task, gain) for gain in (each.over_together, each.over_alone)
        ]
        over_together, over_alone = (effect_rows(record, [effect])[0] for effect in both)
        rows.append((each.title, each.task, over_together, over_alone))
    return rows


def task_rows(record: TransferRecord) -> list[TaskRow]:
    """A line a task: its labels, and its own model's metric with its interval."""
    rows = []
    for task in record.tasks:
        positives = "" if task.valid_positives is None else f", {count(task.valid_positives)} yes"
        labels = f"{count(task.train_labels)} to train on, {count(task.valid_labels)} to judge by{positives}"
        alone = NOTHING if task.alone is None else _metric(task.alone)
        remark = f"too few: {task.too_few}" if task.too_few else ""
        rows.append(TaskRow(task.name, task.kind, labels, task.metric, alone, remark))
    return rows


def capacity_words(points: Sequence[CapacityPoint]) -> str:
    """The best width of each task, and whether one suits all within their errors."""
    tasks = list(dict.fromkeys(point.task for point in points))
    if not tasks:
        return ""
    best = {t: max((p for p in points if p.task == t), key=lambda p: p.together) for t in tasks}
    widths = sorted({point.width for point in points})
    suits = [w for w in widths if all(_is_near(points, best[t], w) for t in tasks)]
    text = listing([f"{t} at {best[t].width}" for t in tasks])
    one = (
        f"one width suits all within two standard errors: {', '.join(map(str, suits))}"
        if suits
        else "no one width is within two standard errors of every task's best"
    )
    own = [max((p for p in points if p.task == t), key=lambda p: p.alone).width for t in tasks]
    return (
        f"Together the best widths are {text}; {one}. The best widths alone add up to {sum(own)}."
    )


_WORDS = {
    "better": "better",
    "worse": "worse",
    "none": "no detectable difference",
    "open": "not known",
}


def _is_near(points: Sequence[CapacityPoint], best: CapacityPoint, width: int) -> bool:
    own = next(p for p in points if p.task == best.task and p.width == width)
    errors = (own.together_error or 0.0) ** 2 + (best.together_error or 0.0) ** 2
    return bool(best.together - own.together <= 2 * errors**0.5)


def _grouping_row(record: TransferRecord, each: GroupingRecord) -> GroupingRow:
    groups = " | ".join(" + ".join(group) for group in each.groups)
    says = "open" if each.mean is None else _says(each.mean)
    gains = tuple(effect_rows(record, each.gains))
    return GroupingRow(each.title, groups, len(each.groups), each.expected, each.mean, says, gains)


def _renamed(row: GroupingRow, title: str) -> GroupingRow:
    return GroupingRow(
        f"{row.title} = {title}",
        row.groups,
        row.num_models,
        row.expected,
        row.mean,
        row.says,
        row.gains,
    )


def _advice(record: TransferRecord) -> str:
    chosen = next((each for each in record.groupings if each.title == RECOMMENDED), None)
    if chosen is None:
        return ""
    if len(chosen.groups) == 1:
        return "Recommended: one model for all."
    if all(len(group) == 1 for group in chosen.groups):
        return "Recommended: one model a task."
    groups = listing([" with ".join(group) for group in chosen.groups])
    return f"Recommended: {len(chosen.groups)} models: {groups}."


def _says(gain: Gain) -> str:
    if gain.low is None or gain.high is None:
        return "open"
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "none"


def _gain(gain: Gain) -> str:
    if gain.low is None or gain.high is None:
        return _signed(gain.value)
    return f"{_signed(gain.value)} ({_signed(gain.low)} to {_signed(gain.high)})"


def _signed(value: float) -> str:
    return number(value, signed=True, decimals=4)


def _metric(metric: MetricValue) -> str:
    if metric.low is None or metric.high is None:
        return number(metric.value)
    return f"{number(metric.value)} ({number(metric.low)} to {number(metric.high)})"


def _too_few(record: TransferRecord, name: str) -> bool:
    return any(task.name == name and task.too_few is not None for task in record.tasks)


def _is_are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
