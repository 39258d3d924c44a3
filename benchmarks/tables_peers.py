"""pytabkit's networks with its tuned defaults on the rows of a folder; runs in an environment of its own.

Called by tables_models.py: reads train.parquet, test.parquet and kinds.json, writes predictions.npz.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pytabkit import (
    RealMLP_TD_Classifier,
    RealMLP_TD_Regressor,
    TabM_D_Classifier,
    TabM_D_Regressor,
)

MODELS = {
    "RealMLP-TD": (RealMLP_TD_Classifier, RealMLP_TD_Regressor),
    "TabM": (TabM_D_Classifier, TabM_D_Regressor),
}


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    kinds = json.loads((folder / "kinds.json").read_text())
    train, test = (pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "test"))
    inputs = [column for column in train if column not in kinds]
    # RealMLP takes no missing numbers: their mean, and a column that says so.
    for column in inputs:
        if pd.api.types.is_numeric_dtype(train[column]) and train[column].isna().any():
            mean = train[column].mean()
            for part in (train, test):
                part[f"{column} is missing"] = part[column].isna().astype(float)
                part[column] = part[column].fillna(mean)
    inputs = [column for column in train if column not in kinds]
    found, seconds, predict_seconds = {}, 0.0, 0.0
    for label, kind in kinds.items():
        is_class = kind in ("binary", "multiclass")
        make = MODELS[name][0 if is_class else 1]
        model = make(device="cpu", random_state=0, n_threads=1)
        started = time.perf_counter()
        model.fit(train[inputs], train[label].to_numpy())
        fitted = time.perf_counter()
        ask = model.predict_proba if kind == "binary" else model.predict
        values = np.asarray(ask(test[inputs]))
        predict_seconds += time.perf_counter() - fitted
        seconds += fitted - started
        found[label] = values[:, 1] if kind == "binary" else values.reshape(len(test))
    np.savez(folder / "predictions.npz", **found)
    told = {"seconds": seconds, "predict_seconds": predict_seconds}
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
