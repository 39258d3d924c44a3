"""Trunks that read pictures as they are: which options name one, and what it needs."""

from polytask.config.checking import name_and_options
from polytask.config.fields import FitConfig
from polytask.errors import UserError, flag
from polytask.inputs import FittedInputs
from polytask.trunks import TRUNKS


def reads_maps(config: FitConfig) -> bool:
    """Whether the trunk that the options name has convolutions of its own.

    >>> reads_maps(FitConfig(trunk="conv_mtan")), reads_maps(FitConfig(trunk="mtan"))
    (True, False)
    """
    name, _ = name_and_options(config.trunk, "trunk")
    return name in TRUNKS and TRUNKS[name].reads_maps


def require_maps(config: FitConfig, inputs: FittedInputs) -> None:
    """UserError where such a trunk would read more than pictures, or no pixels."""
    if not reads_maps(config):
        return
    name, _ = name_and_options(config.trunk, "trunk")
    trunk = flag("trunk", name)
    if "image" not in inputs.by_name:
        raise UserError(
            f"{trunk} reads pictures, and no column is read as one: name theirs by --columns=image=COLUMN, or "
            "take another trunk"
        )
    others = [c for kind, one in inputs.by_name.items() if kind != "image" for c in one.columns]
    if others:
        raise UserError(
            f"{trunk} reads pictures and nothing beside them, but there are other inputs: leave them out by "
            f"{flag('ignore', ','.join(others))}, or take another trunk"
        )
    if inputs.map_form is None:
        raise UserError(
            f"{trunk} has convolutions of its own and reads pixels: leave the network out of the input "
            "options of image, or take another trunk"
        )
    if config.align:
        raise UserError(f"{trunk} reads maps, which --align would mix pixel by pixel")
