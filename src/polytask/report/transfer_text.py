"""What a study of transfer says, in sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

from polytask.records import Gain
from polytask.records.transfer import CapacityPoint, CheapScore, TransferRecord
from polytask.report.formatting import count, listing, number, plural, seconds
from polytask.report.transfer_rows import has_too_few, says_of

ALL, RECOMMENDED = "one model for all", "recommended"


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


def verdict(record: TransferRecord) -> str:
    """The answer in one or two sentences."""
    sure = [each for each in record.together if not has_too_few(record, each.task)]
    parts = [
        f"{listing(names)} {_is_are(names)} {which} than alone"
        for which in ("better", "worse")
        if (names := [each.task for each in sure if says_of(each.gain) == which])
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
        if says_of(effect.gain) != "worse" or has_too_few(record, effect.task):
            continue
        culprits = [
            each
            for each in record.left_out
            if each.task == effect.task and says_of(each.gain) == "better"
        ]
        who = (
            f"leaving {listing([each.cause for each in sorted(culprits, key=lambda e: -e.gain.value)])} out makes it better"
            if culprits
            else "leaving out no single task makes it detectably better"
        )
        mends = [
            r.title
            for r in record.remedies
            if r.task == effect.task and says_of(r.over_together) == "better"
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


def _is_near(points: Sequence[CapacityPoint], best: CapacityPoint, width: int) -> bool:
    own = next(p for p in points if p.task == best.task and p.width == width)
    errors = (own.together_error or 0.0) ** 2 + (best.together_error or 0.0) ** 2
    return bool(best.together - own.together <= 2 * errors**0.5)


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


def _gain(gain: Gain) -> str:
    if gain.low is None or gain.high is None:
        return _signed(gain.value)
    return f"{_signed(gain.value)} ({_signed(gain.low)} to {_signed(gain.high)})"


def _signed(value: float) -> str:
    return number(value, signed=True, decimals=4)


def _is_are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
