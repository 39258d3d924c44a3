"""How to train: batch size, epochs, patience and ensemble that follow from the number of rows."""

import math
from collections.abc import Sequence

from polytask.config import FitConfig
from polytask.config.maps import reads_maps

FEWEST_STEPS = 1000
"""A model starts at the mean of its labels: with a few dozen steps it hardly leaves it."""
_BATCHES_AN_EPOCH = 50
_SMALLEST_BATCH, _LARGEST_BATCH = 16, 1024
_FEWEST_EPOCHS, _MOST_EPOCHS = 6, 40
_PATIENT_STEPS = 250
_FEWEST_VALIDATIONS = 3
_LEARNS_LITTLE = 100
_ENSEMBLE = 8
_CROSS_LAYERS = 2
_FEW_ROWS = 10_000
"""Up to here eight networks in one gain most, and cost little; products of entries need more rows."""


def with_budget(config: FitConfig, num_rows: int, *, words_a_row: float = 1.0) -> FitConfig:
    """The options with a batch size, epochs, patience and parts of the model where none were given.

    About 50 batches an epoch, of 16 to 1,024 rows; 1,000 steps or more, in 6 to 40 epochs; patience
    for 250 steps, in 3 validations or more. From about 170,000 rows on that is batches of 1,024
    for 6 epochs; small tables get steps enough to learn from. Up to 10,000 rows the model is an
    ensemble of 8 beside a linear part; above it has 2 cross layers, each of several tasks a shortcut, and row-wise
    Adagrad steps its tables of ids. Of labels of words it is the words that count. A trunk that reads
    maps is one network, and of pixels there are no cross layers and shortcuts.

    >>> with_budget(FitConfig(), 400).epochs, with_budget(FitConfig(), 400).batch_size
    (40, 16)
    >>> with_budget(FitConfig(epochs=2), 180_000).model_dump(include={"epochs", "batch_size"})
    {'epochs': 2, 'batch_size': 1024}
    """
    num_examples = int(num_rows * words_a_row)
    batch_size = config.batch_size or max(1, int(_batch_size(num_examples) / words_a_row))
    per_epoch = math.ceil(num_rows / batch_size)
    enough = math.ceil(FEWEST_STEPS / per_epoch)
    epochs = config.epochs or min(max(enough, _FEWEST_EPOCHS), _MOST_EPOCHS)
    patience = config.patience
    if patience is None:
        validations_a_step = config.validations_per_epoch / per_epoch
        patience = max(_FEWEST_VALIDATIONS, math.ceil(_PATIENT_STEPS * validations_a_step))
    is_small, is_of_maps = num_examples <= _FEW_ROWS, reads_maps(config)
    ensemble = config.ensemble or (_ENSEMBLE if is_small and not is_of_maps else 1)
    cross_layers = config.cross_layers
    if cross_layers is None:
        cross_layers = 0 if is_small or is_of_maps else _CROSS_LAYERS
    changes = {
        "batch_size": batch_size,
        "epochs": epochs,
        "patience": patience,
        "ensemble": ensemble,
        "cross_layers": cross_layers,
        "shortcuts": not (is_small or is_of_maps) if config.shortcuts is None else config.shortcuts,
        "linear": config.linear if config.linear is not None else is_small,
        "embedding_optimizer": config.embedding_optimizer
        or ("adam" if is_small and config.embedding_rate is None else "rowwise_adagrad"),
    }
    return config.model_copy(update=changes)


def _batch_size(num_rows: int) -> int:
    """The power of two at or below a fiftieth of the rows, from 16 to 1,024."""
    wanted = num_rows // _BATCHES_AN_EPOCH
    return min(max(1 << max(wanted.bit_length() - 1, 0), _SMALLEST_BATCH), _LARGEST_BATCH)


def budget_in_words(config: FitConfig, num_rows: int) -> str:
    """What the training costs at most, as a line of print."""
    assert config.batch_size is not None and config.epochs is not None
    steps = config.epochs * math.ceil(num_rows / config.batch_size)
    members = config.ensemble or 1
    return (
        f"{config.epochs} epochs of batches of {config.batch_size}: {steps:,} steps at most, "
        f"patience for {config.patience} validations"
        + (f"; an ensemble of {members} networks in one" if members > 1 else "")
        + (f"; {config.bag} times over, averaged" if config.bag > 1 else "")
    )


def advice(config: FitConfig, num_rows: int, scores: Sequence[float]) -> list[str]:
    """What the user should know of a training's length; `scores` are those of its validations."""
    assert config.batch_size is not None and config.epochs is not None
    steps = config.epochs * math.ceil(num_rows / config.batch_size)
    found = []
    if steps < _LEARNS_LITTLE:
        found.append(
            f"{steps} optimizer steps are too few to learn much: take a smaller --batch-size or "
            "more --epochs"
        )
    if still_rises(scores):
        found.append(
            f"validation still rose when the {config.epochs} epochs ended: more --epochs may help"
        )
    best = _best_epoch(scores, config.validations_per_epoch)
    shorter = (best or 0) * math.ceil(num_rows / config.batch_size)
    if num_rows > _FEW_ROWS and best and 2 * best <= config.epochs and shorter >= _LEARNS_LITTLE:
        found.append(
            f"validation was best in epoch {best} of {config.epochs}, at a high learning rate: with "
            f"--epochs={best} the rate has fallen by then, which often gains more (a log of ids is "
            "learned by heart the second time)"
        )
    return found


def _best_epoch(scores: Sequence[float], per_epoch: int) -> int | None:
    """The epoch of the highest score, from 1; None where nothing was validated.

    >>> _best_epoch([0.5, 0.7, 0.6], 2), _best_epoch([0.5, 0.6, 0.7], 1)
    (1, 3)
    """
    if not scores:
        return None
    return max(range(len(scores)), key=scores.__getitem__) // per_epoch + 1


def still_rises(scores: Sequence[float]) -> bool:
    """Whether the last quarter of validations brought a twentieth of all that was gained.

    >>> still_rises([0.5, 0.6, 0.7, 0.8]), still_rises([0.5, 0.8, 0.801, 0.8011])
    (True, False)
    """
    if len(scores) < 4 or scores[-1] < max(scores):
        return False
    before = max(scores[: math.ceil(0.75 * len(scores))])
    return scores[-1] - before > 0.05 * (scores[-1] - scores[0])
