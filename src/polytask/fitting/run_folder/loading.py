"""A run folder -> the run: safetensors, JSON and YAML only, nothing that runs code."""

from pathlib import Path

from torch import nn

from polytask.config.build import build_model
from polytask.fitting.own_parts import OwnParts, TrunkFactory
from polytask.fitting.processes.environment import borrowed
from polytask.fitting.run_folder.agreement import check_agreement
from polytask.fitting.run_folder.folder import RunFolder
from polytask.fitting.run_folder.run import Run
from polytask.fitting.run_folder.run_records import RecordsOnDisk
from polytask.fitting.sizes import sketched
from polytask.model import Bag, MultiTaskModel, Network
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
    with borrowed():
        return _load(RunFolder.open(Path(path)), OwnParts(encoder, trunk))


def _load(folder: RunFolder, own: OwnParts) -> Run:
    config = folder.read_config()
    inputs, targets = folder.read_encoders()
    check_agreement(config, targets, where=folder.path)

    def network() -> MultiTaskModel:
        return build_model(
            config,
            targets.tasks,
            inputs=inputs,
            encoder=own.fresh_encoder(),
            trunk=own.fresh_trunk,
        )

    def build() -> Network:
        return network() if config.bag == 1 else Bag([network() for _ in range(config.bag)])

    # Sizes are compared before memory is taken for them.
    folder.check_weights(sketched(build), config)
    model = build()
    model.load_state_dict(folder.read_weights())
    return Run(config, inputs, targets, model.eval(), RecordsOnDisk(folder.path))
