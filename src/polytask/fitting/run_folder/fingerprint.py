"""What a run was started on, as texts that a resumed run compares with its own."""

import hashlib
import json

import numpy as np
from torch import Tensor

from polytask.config import FitConfig
from polytask.fitting.preparing.prepare import Prepared
from polytask.streams import Batch
from polytask.training.run import Settings

# Where things lie, how fast they go and what is reported beside: none of it changes a weight.
_CHANGES_NO_WEIGHT = {
    *("table", "data", "test", "valid", "out", "overwrite", "init_from"),
    *("threads", "device", "log_every", "checkpoint_every", "intervals", "baseline"),
    *("compare_auxiliary", "on_disk", "cache"),
}

_LEFT_OUT = _CHANGES_NO_WEIGHT | set(Settings.__dataclass_fields__)


def notes_for_weights(config: FitConfig, encoder_text: str) -> dict[str, str]:
    """What a file of weights says of the two files beside it: checksums of what has to fit.

    Of run.yaml, the options that shape a model or say how a table is read, where they are no
    defaults: a later polytask may have more of them.
    """
    options = config.model_dump(mode="json", exclude=_LEFT_OUT, exclude_defaults=True)
    text = json.dumps(options, sort_keys=True)
    return {"run.yaml": _checksum(text.encode()), "encoder.json": _checksum(encoder_text.encode())}


def fingerprint_of(config: FitConfig, prepared: Prepared) -> dict[str, str]:
    """The options that shape the models, and a checksum of all examples and encoders.

    The examples are what training reads: whatever changed in a file, in how it was derived or
    split, is in them, and a file that was merely moved or written anew is not.
    """
    options = config.model_dump(mode="json", exclude=_LEFT_OUT)
    origin = {f"option {name}": json.dumps(value) for name, value in options.items()}
    parts = {"training": prepared.train, "validation": prepared.valid, "test": prepared.test}
    origin |= {f"{name} rows": _describe(part) for name, part in parts.items()}
    if prepared.stored is not None:
        origin["stored rows"] = f"{prepared.num_train:,} ({prepared.stored.listing.checksum})"
    targets = json.dumps(prepared.targets.to_dict())
    return origin | {"encoders": _checksum(prepared.inputs.to_json().encode(), targets.encode())}


def _describe(rows: Batch | None) -> str:
    if rows is None:
        return "none"
    return f"{len(rows):,} ({_checksum(*map(_bytes, rows.storages()))})"


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.contiguous().numpy().reshape(-1).view(np.uint8).data


def _checksum(*parts: bytes | memoryview) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()[:16]
