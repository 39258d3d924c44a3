"""What a study says, in sentences that need no knowledge of the methods."""

from collections.abc import Sequence

from polytask.records.study import Paired, StudyRecord, StudyRow
from polytask.report.formatting import count, listing, number, plural, seconds
from polytask.report.study_rows import gain_rows, recommended, separate

_ENOUGH_SEEDS = 5


def title(record: StudyRecord) -> str:
    """The question."""
    return f"How to predict {listing([task.name for task in record.tasks])}"


def verdict(record: StudyRecord) -> str:
    """What to use, and what it gains, in two sentences; how far it has come before that."""
    row = recommended(record)
    if row is None:
        return (
            f"Under way: {len(record.trials)} of {record.num_trials} trials have ended. Nothing can be "
            "recommended before their best has been trained under all seeds."
        )
    return " ".join([f"Use {use(row)}.", *_against_separate(record)])


def use(row: StudyRow) -> str:
    """A row as advice: `one model for all tasks, the trunk mmoe with equal weights`."""
    if row.group == "trees":
        return "gradient-boosted trees, one model a task"
    if row.group == "single":
        return (
            "a separate network for each task"
            if len(row.cells) > 1
            else "a network for the task alone"
        )
    rule = {
        "equal": "equal weights",
        "static": f"the static weights {row.chosen.get('weights', '')}",
        "rlw": "random weights",
    }.get(row.group, f"the balancing rule {row.balancer}")
    beside = f", trained together with {listing(row.auxiliary)}" if row.auxiliary else ""
    return f"one network: trunk {row.trunk}, {rule}{beside}"


def answer(record: StudyRecord) -> list[tuple[str, str]]:
    """The questions that a reader has, each with its answer."""
    row = recommended(record)
    if row is None:
        return []
    found = [
        (
            "What does it gain?",
            " ".join(_against_separate(record)) or _against_equal(row),
        ),
        ("Does balancing pay?", _balancing(record)),
        ("Do trees do better?", _trees(record, row)),
        ("What does it cost?", _cost(record, row)),
        ("How sure is that?", _certainty(record)),
    ]
    return [(question, words) for question, words in found if words]


def warnings(record: StudyRecord) -> list[str]:
    """What a reader should know before believing a number."""
    found = [f"{note[:1].upper()}{note[1:]}." for note in record.notes]
    if not record.is_finished:
        found.insert(0, "The study is not finished: this page shows how far it has come.")
    if 0 < len(record.seeds) < record.num_seeds:
        found.append(f"Figures rest on {len(record.seeds)} of {record.num_seeds} seeds.")
    seesaws = [row.title for row in record.rows if row.is_seesaw]
    if seesaws:
        found.append(
            f"Seesaw: {listing(seesaws)} {_make(seesaws)} one task better and another worse than separate "
            "models do, beyond noise."
        )
    return found


def facts(record: StudyRecord) -> list[tuple[str, str]]:
    """Figures of the head of the page, each with what it is."""
    return [
        (count(len(record.rows)), "ways to train, compared"),
        (count(len(record.trials)), f"of {record.num_trials} trials"),
        (count(len(record.seeds)), f"of {record.num_seeds} seeds"),
        (count(record.num_rows["train"]), "training rows"),
        (count(record.num_rows["test"]), "test rows"),
        (seconds(record.seconds), f"of a budget of {seconds(record.budget)}"),
    ]


def front_words(record: StudyRecord) -> str:
    """What the picture of static weights shows."""
    if not any(point.group == "static" for point in record.front):
        return "No static weights were searched, so there is no front to stand on."
    return (
        "Each grey point is one training with static weights on the validation rows; a line joins those that "
        "no other of them beats on both tasks. A rule that finds something which no static weights "
        "find lies beyond the line, to the upper right."
    )


def rank_words(record: StudyRecord) -> str:
    """Which rows a mean rank is among."""
    return (
        f"The mean rank is among these {len(record.rank_set)} rows and says nothing beside another set: "
        f"{listing(record.rank_set)}."
    )


def method(record: StudyRecord) -> list[str]:
    """How it was done, for those who want to repeat or doubt it."""
    return [
        "Every row was tuned with the same number of trials (learning rate on a grid that is even in the "
        "logarithm, weight decay, width, dropout; of separate models and trees, for each task by itself). The "
        "search of static weights has its points trained with what equal weights were found to like.",
        "Trials are chosen by the score on validation rows. The best of each row was then trained anew "
        "under other seeds, the same for all rows, and only these trainings were scored on the test rows, once.",
        "An interval holds what seeds and what test rows vary by: the rows by bootstrap, the same draws for "
        "all rows and seeds, the seeds by Student's t. A difference is paired: same seed, same rows. Verdicts are "
        "those after Holm's correction over all rows and tasks, so one of them may read \u201cno detectable "
        "difference\u201d although its own interval leaves out 0.",
        "What is recommended was decided on validation rows alone: the plainest row that they do not show to be "
        "worse than the best one.",
        "\u0394m is the mean relative loss against separate models in per cent, below 0 is better; over metrics: "
        "every metric counts alike (CAGrad, Nash-MTL), over tasks: every task does (Maninis, Vandenhende).",
    ]


def _against_separate(record: StudyRecord) -> list[str]:
    row, lines = recommended(record), gain_rows(record)
    if row is None or not lines:
        return []
    parts = []
    for which, words in (("better", "better on"), ("worse", "worse on")):
        named = [
            f"{line.task} ({number(line.paired.gain.value, signed=True)} {line.metric})"
            for line in lines
            if line.paired.verdict == which
        ]
        parts += [f"{words} {listing(named)}"] if named else []
    same = [line.task for line in lines if line.paired.verdict == "none"]
    parts += [f"not detectably different on {listing(same)}"] if same else []
    if not parts:
        return ["There are too few seeds to tell a difference to separate models from chance."]
    return [f"Against separate networks it is {', '.join(parts)}.", *_in_the_mean(row)]


def _against_equal(row: StudyRow) -> str:
    """Where separate models are recommended, or there are none."""
    paired = row.mean_over_equal
    if row.group != "single" or paired is None or paired.verdict == "open":
        return "There are no separate models to compare with."
    words = "not detectably different" if paired.verdict == "none" else paired.verdict
    gain = number(paired.gain.value, signed=True)
    return (
        f"Against one network with equal weights it is {words} in the mean of the tasks ({gain})."
    )


def _in_the_mean(row: StudyRow) -> list[str]:
    """What several tasks show together, though perhaps none of them by itself."""
    paired = row.mean_over_single
    if paired is None or len(row.cells) < 2 or paired.verdict not in ("better", "worse"):
        return []
    return [
        f"In the mean of the tasks it is {paired.verdict} ({number(paired.gain.value, signed=True)})."
    ]


def _balancing(record: StudyRecord) -> str:
    """Whether any rule beats equal weights, and where the search of static ones stands."""
    rules = [row for row in record.rows if row.group in ("method", "rlw", "static")]
    known = [(row, row.mean_over_equal) for row in rules if row.mean_over_equal is not None]
    if not known:
        return ""
    if all(paired.verdict == "open" for _, paired in known):
        return "There are too few seeds to tell a rule from equal weights."
    better = [_gained(row, paired) for row, paired in known if paired.verdict == "better"]
    worse = [row.title for row, paired in known if paired.verdict == "worse"]
    words = (
        f"In the mean of the tasks, {listing(better)} {'is' if len(better) == 1 else 'are'} better than equal weights."
        if better
        else "No rule is detectably better than equal weights in the mean of the tasks."
    )
    if worse:
        words += f" {listing(worse)} {'is' if len(worse) == 1 else 'are'} worse."
    static = next((p for row, p in known if row.group == "static"), None)
    if static is not None and static.verdict == "none":
        either = "" if better else " either"
        words += f" Searching static weights brings no detectable difference{either}."
    return words


def _trees(record: StudyRecord, row: StudyRow) -> str:
    trees = next((each for each in record.rows if each.group == "trees" and each.cells), None)
    if trees is None or row.group == "trees":
        return ""
    parts = []
    for ours, theirs in zip(row.cells, trees.cells):
        parts.append(
            f"{ours.task} {number(theirs.value.value)} by trees, {number(ours.value.value)} by the network"
        )
    return f"{'; '.join(parts)} ({record.tasks[0].title if _one_metric(record) else 'each in its own metric'})."


def _cost(record: StudyRecord, row: StudyRow) -> str:
    if row.seconds is None:
        return ""
    words = f"One training takes {seconds(row.seconds)}"
    apart = separate(record)
    if apart is not None and apart.seconds is not None and row.name != apart.name:
        words += (
            f" against {seconds(apart.seconds)} for {plural(len(record.tasks), 'separate model')}"
        )
    if row.memory is not None:
        words += f", with {count(row.memory / 1e6)} MB of memory at most, the table included"
    if row.passes:
        words += f", and {number(row.passes, decimals=1)} backward passes a step"
    return f"{words}."


def _certainty(record: StudyRecord) -> str:
    words = (
        f"Each way was trained under {plural(len(record.seeds), 'seed')} and scored on "
        f"{count(record.num_rows['test'])} test rows that nothing was chosen by; what is called better or worse "
        "holds at 95 % after correction for the number of comparisons."
    )
    if record.advice is not None and len(record.advice.ties) > 1:
        words += (
            f" On validation rows {plural(len(record.advice.ties), 'way')} cannot be told from the best "
            f"({record.advice.best}); of these the plainest is recommended."
        )
    if len(record.seeds) < _ENOUGH_SEEDS:
        words += " Five seeds or more would make the intervals narrower."
    return words


def _gained(row: StudyRow, paired: Paired) -> str:
    return f"{row.title} ({number(paired.gain.value, signed=True)})"


def _one_metric(record: StudyRecord) -> bool:
    return len({task.title for task in record.tasks}) == 1


def _make(names: Sequence[str]) -> str:
    return "makes" if len(names) == 1 else "make"
