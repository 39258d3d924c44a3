"""polytask demo, inspect, fit, transfer, study, evaluate, predict, report, export, serve, doctor."""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import polytask
from polytask.cli.cache import cache_app
from polytask.cli.doctor import doctor
from polytask.cli.help import CommandUnderHeadings
from polytask.cli.options import (
    config_from,
    resumed_from,
    transfer_options_from,
    with_column_options,
    with_fit_options,
    with_study_options,
    with_transfer_options,
    workers_from,
)
from polytask.cli.serving import export, serve
from polytask.cli.stopping import TERMINATED, Terminated, terminated_in_order
from polytask.cli.visible import visible
from polytask.config import FitConfig
from polytask.data.paths import matching_paths
from polytask.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

_SECONDS_TO_SPEAK = 10.0
_TABLES = ("table", "test", "valid")

_WIDE: dict[str, object] = {"max_content_width": 100}

app = typer.Typer(
    name="polytask",
    help="Multi-task learning from one table: train, weigh, compare and predict.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(cache_app)
for command in (export, serve, doctor):
    app.command()(command)


def main() -> None:
    """Run a command; a mistake of the user's is one message and exit code 2."""
    try:
        with terminated_in_order():
            try:
                app()
            finally:
                sys.stdout.flush()
    except UserError as error:
        _stop(error.message)
    except (MemoryError, OSError, RuntimeError) as error:
        words = _in_words(error)
        if words is None:
            raise
        _stop(words)
    except Terminated:
        typer.echo("stopped; what was saved stays", err=True)
        sys.exit(TERMINATED)


def _in_words(error: Exception) -> str | None:
    """What the system lacks: memory, room, rights; None for a mistake of ours."""
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return (
            f"there is not enough memory: {str(error).partition(chr(10))[0] or 'no more is given'}"
        )
    if isinstance(error, OSError):
        return f"{error.filename or 'the output'}: {error.strerror or error}"
    return None


def _stop(message: str) -> None:
    if os.environ.get("WORLD_SIZE", "1") != "1" and os.environ.get("RANK") != "0":
        # torchrun ends all processes as soon as one has ended: the first one shall speak before. If it
        # does not end, the mistake is this process's alone.
        time.sleep(_SECONDS_TO_SPEAK)
    typer.secho("error:", fg="red", bold=True, nl=False, err=True)
    typer.echo(f" {visible(message)}", err=True)
    sys.exit(2)


def _existing(config: FitConfig) -> FitConfig:
    """The configuration, once its tables are seen to exist: a typing error is not worth loading torch."""
    of_sets = [getattr(each, part) for each in config.data.values() for part in _TABLES]
    for table in (config.table, config.test, config.valid, *of_sets):
        if table is not None:
            matching_paths(str(table))
    return config


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"polytask {polytask.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Multi-task learning from one table."""


@app.command()
def demo(
    rows: Annotated[int, typer.Option(min=1000, help="Impressions to make up.")] = 100_000,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(min=0)] = 0,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print all metrics.")] = False,
) -> None:
    """Train on a made-up short-video log: click, like, follow and watch time of an impression."""
    from polytask.cli.demo import run_demo

    run_demo(rows, out, seed=seed, verbose=verbose)


@app.command(cls=CommandUnderHeadings, context_settings=_WIDE)
@with_fit_options
def fit(options: Mapping[str, object]) -> None:
    """Train one model for all tasks of TABLE, and one a task to compare it with.

    A task is [NAME=]COLUMN[:KIND[:YES]]: click, income:binary:50000+, adult=age:binary:>=18.
    Several tables, each with tasks of its own: --data news=news.parquet --task news.topic, and so on.

    polytask fit log.parquet --task click --task watch:regression --out runs/first
    """
    resumed = resumed_from(options)
    workers = workers_from(options)
    config = None if resumed else _existing(config_from(options))
    from polytask.cli.fitting import show_fit, show_fit_on_ray, show_resumed

    verbose, continues = bool(options["verbose"]), bool(options["continue_"])
    if resumed is not None:
        show_resumed(resumed[0], threads=resumed[1], verbose=verbose)
    elif config is not None and workers is not None:
        show_fit_on_ray(config, workers=workers, continues=continues, verbose=verbose)
    elif config is not None:
        show_fit(config, continues=continues, verbose=verbose)


@app.command(cls=CommandUnderHeadings, context_settings=_WIDE)
@with_transfer_options
def transfer(options: Mapping[str, object]) -> None:
    """Measure which tasks of TABLE help each other, and which to train together.

    Trains sets of tasks beside each task alone, and prints what was found.

    polytask transfer log.parquet --task click --task like --task watch:regression --out runs/transfer
    """
    path = options.get("resume")
    if path is not None:
        others = [name for name, value in options.items() if name != "resume" and value]
        if others:
            raise UserError(f"--resume {path} takes everything from {path}: leave out the rest")
        from polytask.cli.transfer import show_resumed_transfer

        show_resumed_transfer(Path(str(path)))
        return
    config = _existing(config_from(options))
    asked = transfer_options_from(options)
    from polytask.cli.transfer import show_transfer

    show_transfer(config, asked)


@app.command(cls=CommandUnderHeadings, context_settings=_WIDE)
@with_study_options
def study(options: Mapping[str, object]) -> None:
    """Compare ways to train on TABLE, each tuned alike, and say what to use.

    TABLE may be a study.yaml. Separate models, equal weights, a search of static weights, random weights and
    gradient-boosted trees are in every study; --balancers and --trunks say what else is.

    polytask study study.yaml
    polytask study log.parquet --task click --task like --quick --out runs/study
    """
    from polytask.cli.study_options import begun_study

    begun_study(options)


@app.command(name="inspect", cls=CommandUnderHeadings, context_settings=_WIDE)
@with_column_options
def inspect_command(options: Mapping[str, object]) -> None:
    """Print what each column of TABLE would be taken for, and why."""
    config = _existing(config_from(options))
    from polytask.cli.tables import console_for_tables, show_columns
    from polytask.data.schema import describe_table
    from polytask.fitting import inspect_table

    table, schema = inspect_table(config)
    reports = describe_table(schema, table)
    show_columns(console_for_tables(), schema, reports, num_rows=table.num_rows)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    table: Annotated[Path, typer.Argument(help="Table with labels.")],
    data: Annotated[
        str | None, typer.Option(metavar="NAME", help="The data set that the rows are like.")
    ] = None,
) -> None:
    """Evaluate a run on another table, per task; counted in its metrics.json."""
    from polytask.cli.tables import console_for_tables, show_evaluation
    from polytask.fitting import load
    from polytask.fitting.run_folder.predicting import evaluated_in_pieces
    from polytask.records import count_test_evaluation, read_metrics

    loaded = load(run)
    read_metrics(run)  # Damage is told before the work is done.
    evaluations = evaluated_in_pieces(loaded, table, data=data)
    trained_on = loaded.config.table
    if trained_on is not None and table.exists() and trained_on.resolve() == table.resolve():
        typer.echo("note: the run was trained on rows of this very table", err=True)
    if sys.stdout.isatty():
        show_evaluation(console_for_tables(), evaluations)
    else:
        flat = {task: evaluation.to_dict() for task, evaluation in evaluations.items()}
        typer.echo(json.dumps(flat, indent=2, allow_nan=False))
    count_test_evaluation(run)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    table: Annotated[Path, typer.Argument(help="Table; labels are not needed.")],
    out: Annotated[Path, typer.Option(help="File to write: .parquet, .csv, .arrow or .feather.")],
    keep: Annotated[
        str,
        typer.Option(
            metavar="COLUMNS",
            help="Columns of TABLE to write first, such as user_id,item_id.",
            show_default=False,
        ),
    ] = "",
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The data set that the rows are like: its tasks are predicted."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
) -> None:
    """Write one row of predictions for each row of TABLE."""
    from polytask.data.writing import check_target, write_tables
    from polytask.fitting import load
    from polytask.fitting.run_folder.predicting import predictions_in_pieces

    check_target(out, sources=matching_paths(str(table)), overwrite=overwrite)
    kept = [name.strip() for name in keep.split(",") if name.strip()]
    names: list[str] = []

    def pieces() -> "Iterator[pa.Table]":
        for piece in predictions_in_pieces(load(run), table, keep=kept, data=data):
            names[:] = piece.column_names
            yield piece

    num_rows = write_tables(pieces(), out)
    typer.echo(visible(f"{num_rows} rows -> {out}: {', '.join(names)}"))


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder of the run, or of a study.")],
    out: Annotated[
        Path | None, typer.Option(help="HTML file to write; report.html in that folder.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option(help="Replace a file that is no report of polytask's.")
    ] = False,
) -> None:
    """Draw the report of a run or a study anew: one HTML file that opens offline."""
    from polytask.report import write_report

    typer.echo(f"report: {write_report(run, out=out, overwrite=overwrite)}")
