"""`polytask export` and `polytask serve`: a run as one ONNX graph, and a server for it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from polytask.cli.stopping import Terminated
from polytask.cli.visible import visible
from polytask.records.layout import GRAPH


def export(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write; model.onnx in the run's folder.")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(metavar="TABLE", help="Also compare the predictions for its rows."),
    ] = None,
    derived_as_inputs: Annotated[
        bool,
        typer.Option(
            "--derived-as-inputs",
            help="Columns of --derive are inputs of the graph: whoever asks it computes them.",
        ),
    ] = False,
) -> None:
    """Write a run as one ONNX graph: raw columns in, predictions in the label's own unit out.

    Missing, new and rare values are treated as by polytask predict. The graph's predictions are compared
    with the run's before it is written.

    polytask export runs/first --check log.parquet
    """
    from polytask.fitting import load
    from polytask.serving.graph.exporting import check_on, check_target, export_run, write_graph

    target = out or run / GRAPH
    check_target(target)
    exported = export_run(load(run), derived_as_inputs=derived_as_inputs)
    on_table = None if check is None else check_on(exported, check)
    write_graph(exported, target)
    columns, answers = exported.contract.columns, exported.contract.answers
    typer.echo(visible(f"{len(columns)} columns -> {', '.join(answer.name for answer in answers)}"))
    typer.echo(visible(f"farthest from the run's own predictions: {exported.distance}"))
    if on_table is not None:
        typer.echo(visible(f"on the rows of {check}: {on_table}"))
    typer.echo(visible(f"graph: {target} ({len(exported.content) / 1e6:.1f} MB)"))


def serve(
    model: Annotated[Path, typer.Argument(metavar="RUN|MODEL.ONNX", help="An exported run.")],
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535)] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a prediction.")] = 1,
) -> None:
    """Answer requests for predictions over HTTP: POST /predict, and the Open Inference Protocol.

    A file that is replaced is loaded anew without a pause. The server loads no torch.

    polytask serve runs/first --port 8000
    """
    from polytask.serving.server.running import run_server

    try:
        run_server(model, host=host, port=port, workers=workers, threads=threads, tell=_tell)
    except (Terminated, KeyboardInterrupt):
        typer.echo("stopped", err=True)


def _tell(line: str) -> None:
    # Whoever started the server through a pipe waits for this line.
    typer.echo(visible(line))
    sys.stdout.flush()
