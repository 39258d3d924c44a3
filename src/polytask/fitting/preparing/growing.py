"""--grow: the inputs of an earlier run go on, with the values that are new since."""

import hashlib

from polytask.config import FitConfig
from polytask.errors import UserError
from polytask.inputs import FittedInputs
from polytask.records.layout import ENCODER


def check_growth(config: FitConfig) -> None:
    """UserError for a growth of nothing."""
    if config.grow and config.init_from is None:
        raise UserError("--grow needs --init-from: the run whose inputs go on")


def earlier_state(config: FitConfig) -> str:
    """What changes when the run whose inputs go on is another one; empty where none does."""
    if not config.grow or config.init_from is None:
        return ""
    encoder = config.init_from / ENCODER
    return hashlib.sha256(encoder.read_bytes()).hexdigest() if encoder.is_file() else ""


def grown(config: FitConfig, fitted: FittedInputs) -> FittedInputs:
    """What the earlier run knows, and what it lacks of the new rows.

    Scales, bins and frequent values stay as they were, so that what reads them keeps its meaning;
    vocabularies keep their values and get the new ones behind them. Inputs that read other columns
    than before are those of the new rows.
    """
    if not config.grow:
        return fitted
    # A run folder is a record of what this room prepares.
    from polytask.fitting.run_folder.folder import RunFolder

    assert config.init_from is not None
    earlier, _ = RunFolder.open(config.init_from).read_encoders()
    by_name = {
        name: earlier.by_name[name].grown(one) if name in earlier.by_name else one
        for name, one in fitted.by_name.items()
    }
    return FittedInputs(by_name)
