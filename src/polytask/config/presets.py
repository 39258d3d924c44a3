"""Presets: named sets of options, which stand where nothing is given."""

from collections.abc import Mapping

from polytask.choices import Preset
from polytask.config.fields import FitConfig

PRESETS: Mapping[Preset, Mapping[str, object]] = {
    "fast": {"cross_layers": 0, "shortcuts": False, "numeric_values": "none", "ensemble": 1},
    "default": {},
    "best": {"bag": 5},
}
"""fast: a plain mixture of experts, one network, numbers read as numbers. default: by the rows.
best: the same five times over, averaged."""


def with_preset(config: FitConfig) -> FitConfig:
    """The options with those of the preset where none were given; a run.yaml gives all of them.

    >>> with_preset(FitConfig(preset="fast", ensemble=4)).model_dump(include={"cross_layers", "ensemble"})
    {'cross_layers': 0, 'ensemble': 4}
    """
    values = PRESETS[config.preset]
    absent = {key: value for key, value in values.items() if key not in config.model_fields_set}
    return config.model_copy(update=absent)
