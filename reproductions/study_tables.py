"""Does sharing pay, does balancing? Census-Income and KuaiRand-Pure by `polytask study`.

    python reproductions/study_tables.py census-income --quick      # under five minutes
    python reproductions/study_tables.py census-income              # an hour on two cores
    python reproductions/study_tables.py census-college
    python reproductions/study_tables.py income-college --rows 60000
    python reproductions/study_tables.py kuairand --rows 60000 --trials 3 --budget 60m

Census-Income: income with never married, and college (associate degree or above) with never married, the two
groups of the MMoE paper, and income with college, with every trunk and eight rules. KuaiRand-Pure: click, long view, like and play time of
the same impressions, split by time, with eight rules. The other options are those of `polytask study`; what was
stopped goes on with `--resume`. Reads the data from POLYTASK_DATA (else ../shared/data); the study, its report and a
table in Markdown lie in runs/study-NAME.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

from census import DATA, GROUPS, base

from polytask.choices import TRUNK_NAMES
from polytask.cli.study import show_resumed_study, show_study
from polytask.config.study import StudyConfig, quick, validate_study
from polytask.records.study import Paired, StudyRecord
from polytask.records.study_files import read_record

NAMES = ("census-income", "census-college", "income-college", "kuairand")
RULES = ["uncertainty", "dwa", "gradnorm", "mgda", "pcgrad", "cagrad", "nash_mtl", "famo"]
KUAIRAND = {
    "table": str(DATA / "kuairand_pure.parquet"),
    "tasks": ["click=is_click", "long_view", "like=is_like", "play_seconds:regression"],
    "derive": ["play_seconds = play_time_ms / 1000", "hour = hourmin // 100"],
    "transform": "play_seconds=log1p",
    "after": "is_follow,is_comment,is_forward,is_hate,is_profile_enter",
    "categorical": "hour",
    "group": "user_id",
    "time_column": "time_ms",
    "valid_from": 1651593600000,
    "test_from": 1651680000000,
    "epochs": 2,
    "validations_per_epoch": 2,
    "embedding_dim": 8,
    "cross_layers": 0,
    "monitor": "click.auc,long_view.auc,like.auc,play_seconds.xauc",
}


def study(name: str) -> dict[str, object]:
    """What is compared on a table; `main` metrics are equally weighed."""
    if name == "kuairand":
        return {"fit": KUAIRAND, "trunks": ["mmoe"], "balancers": RULES}
    fit = base(2 if name == "census-college" else 1) | {"epochs": 3}
    fit.pop("monitor")
    if name == "income-college":
        fit["tasks"] = [task for _, task in GROUPS.values()]
    trunks = ["mmoe", *(trunk for trunk in TRUNK_NAMES if trunk not in ("mmoe", "single_task"))]
    return {"fit": fit, "trunks": trunks, "balancers": RULES, "design": "star"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--table", action="store_true", help="only print what there is")
    parser.add_argument("--budget", help="60m, or what the quick form has")
    for option in ("trials", "seeds", "rows", "epochs", "workers"):
        parser.add_argument(f"--{option}", type=int)
    options = parser.parse_args()
    out = Path("runs") / f"study-{options.name}{'-quick' if options.quick else ''}"
    if not options.table:
        if options.resume:
            show_resumed_study(out, joins=False, over={"budget": options.budget or "60m"})
        else:
            show_study(asked(options, out))
    show(read_record(out))


def asked(options: argparse.Namespace, out: Path) -> StudyConfig:
    names = ("trials", "seeds", "rows", "epochs", "workers", "budget")
    said = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.quick:
        values = study(options.name) | said | {"out": str(out)}
        del values["balancers"]
        return quick(validate_study(values | {"trunks": ["mmoe"]}))
    return validate_study(study(options.name) | {"out": str(out)} | said)


def show(record: StudyRecord) -> None:
    """The rows in Markdown."""
    heads = [f"{task.name} {task.title}" for task in record.tasks]
    columns = [text for head in heads for text in (head, "over separate")]
    print(f"\n| way to train | {' | '.join(columns)} | rank | Δm metrics, tasks | s |")
    print("|---" * (len(columns) + 4) + "|")
    for row in record.rows:
        if not row.cells:
            continue
        cells = [
            text for cell in row.cells for text in (str(cell.value), _paired(cell.over_single))
        ]
        delta = (
            ""
            if row.delta_m is None
            else f"{row.delta_m.over_metrics:+.2f}, {row.delta_m.over_tasks:+.2f}"
        )
        mark = " ★" if record.advice is not None and record.advice.row == row.name else ""
        print(
            f"| {row.title}{mark} | {' | '.join(cells)} | {row.mean_rank:.2f} | {delta} | {row.seconds:.1f} |"
        )
    print(
        f"\n{len(record.trials)} of {record.num_trials} trials, {len(record.seeds)} of "
        f"{record.num_seeds} seeds, {record.seconds:.0f} s"
    )


def _paired(paired: Paired | None) -> str:
    if paired is None:
        return ""
    words = {"better": "better", "worse": "worse", "none": "~", "open": "?"}
    return f"{paired.gain.value:+.4f} {words[paired.verdict]}"


if __name__ == "__main__":
    main()
