"""A run folder -> the run: safetensors, JSON and YAML only, nothing that runs code."""

from pathlib import Path

from torch import nn

from polytask.config.build import build_model
from polytask.errors import UserError
from polytask.fitting.own_parts import OwnParts, TrunkFactory
from polytask.fitting.run_folder.folder import RunFolder
from polytask.fitting.run_folder.run import Run
from polytask.records import read_figures, read_history, read_metrics
from polytask.trunks import Trunk


def load(
    path: str | Path,
    *,
    encoder: nn.Module | None = None,
    trunk: Trunk | TrunkFactory | None = None,
) -> Run:
    """The run in a folder. A run with an encoder or a trunk of the user's own needs them again.

    A run that has not ended is loaded with the best weights so far, and has no metrics.
    """
    own = OwnParts(encoder, trunk)
    folder = RunFolder.open(Path(path))
    config = folder.read_config()
    inputs, targets = folder.read_encoders()
    model = build_model(
        config,
        targets.tasks,
        inputs=inputs,
        encoder=own.fresh_encoder(),
        trunk=own.fresh_trunk,
    )
    try:
        model.load_state_dict(folder.read_weights())
    except RuntimeError as error:
        raise UserError(
            f"{path}: the weights do not fit the model of run.yaml; a run with an encoder or "
            f"a trunk of your own is loaded with load(path, encoder=..., trunk=...): {error}"
        ) from error
    return Run(
        config,
        inputs,
        targets,
        model,
        read_metrics(folder.path),
        read_history(folder.path),
        read_figures(folder.path),
    )
