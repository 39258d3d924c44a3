"""One training run of a peer on encoded Census-Income rows; runs in the peers' own environment.

    python benchmarks/census_peers.py torch-rechub|deepctr-torch ROWS.npz --epochs 2

Called by census_speed.py. Each library runs as its documentation says: its own trainer, its own
data loader, its own defaults but for the sizes that are compared. Prints one line of JSON.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

BATCH_SIZE, LEARNING_RATE, EMBEDDING_DIM = 1024, 1e-3, 8
NUM_EXPERTS, EXPERT_HIDDEN, TOWER_HIDDEN = 8, (64, 32), (16,)
NUM_LEVELS, NUM_SHARED, NUM_OWN = 2, 4, 4

Columns = dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("rows")
    parser.add_argument("--trunk", choices=("mmoe", "ple"), default="mmoe")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    with np.load(options.rows) as rows:
        train, train_labels = columns(rows, "train"), rows["train_labels"]
        test, test_labels = columns(rows, "test"), rows["test_labels"]
        sizes = rows["vocabulary_sizes"].tolist()
    make = PEERS[options.peer]
    fit, predict = make(options.trunk, train, train_labels, sizes, options.epochs)
    started = time.process_time()
    fit()
    seconds = time.process_time() - started
    scores = predict(test)
    auc = [roc_auc_score(test_labels[:, t], scores[:, t]) for t in range(scores.shape[1])]
    rate = options.epochs * len(train_labels) / seconds
    print(json.dumps({"rows_per_second": rate, "auc": auc}))


def columns(rows: np.lib.npyio.NpzFile, part: str) -> Columns:
    numeric, categorical = rows[f"{part}_numeric"], rows[f"{part}_categorical"]
    found = {f"n{i}": numeric[:, i].copy() for i in range(numeric.shape[1])}
    return found | {f"c{i}": categorical[:, i].copy() for i in range(categorical.shape[1])}


def torch_rechub(
    trunk: str, train: Columns, labels: np.ndarray, sizes: list[int], epochs: int
) -> tuple[Callable[[], None], Callable[[Columns], np.ndarray]]:
    from torch_rechub.basic.features import DenseFeature, SparseFeature
    from torch_rechub.models.multi_task import MMOE, PLE
    from torch_rechub.trainers import MTLTrainer
    from torch_rechub.utils.data import PredictDataset, TorchDataset

    features = [DenseFeature(name) for name in train if name[0] == "n"]
    features += [
        SparseFeature(f"c{i}", vocab_size=size, embed_dim=EMBEDDING_DIM)
        for i, size in enumerate(sizes)
    ]
    num_tasks = labels.shape[1]
    types = ["classification"] * num_tasks
    widths = {
        "expert_params": {"dims": list(EXPERT_HIDDEN)},
        "tower_params_list": [{"dims": list(TOWER_HIDDEN)} for _ in types],
    }
    if trunk == "mmoe":
        model = MMOE(features, types, n_expert=NUM_EXPERTS, **widths)
    else:
        counts = {"n_expert_specific": NUM_OWN, "n_expert_shared": NUM_SHARED}
        model = PLE(features, types, n_level=NUM_LEVELS, **counts, **widths)
    trainer = MTLTrainer(
        model, task_types=types, optimizer_params={"lr": LEARNING_RATE}, n_epoch=epochs
    )

    feed = torch.utils.data.DataLoader(
        TorchDataset(train, labels), batch_size=BATCH_SIZE, shuffle=True
    )

    def fit() -> None:
        # Without a validation set: the evaluation after each epoch is no part of the comparison.
        for _ in range(epochs):
            trainer.train_one_epoch(feed)

    def predict(part: Columns) -> np.ndarray:
        rows = torch.utils.data.DataLoader(PredictDataset(part), batch_size=8192)
        return np.asarray(trainer.predict(model, rows))

    return fit, predict


def deepctr_torch(
    trunk: str, train: Columns, labels: np.ndarray, sizes: list[int], epochs: int
) -> tuple[Callable[[], None], Callable[[Columns], np.ndarray]]:
    from deepctr_torch.inputs import DenseFeat, SparseFeat
    from deepctr_torch.models import MMOE, PLE

    features = [
        SparseFeat(f"c{i}", vocabulary_size=size, embedding_dim=EMBEDDING_DIM)
        for i, size in enumerate(sizes)
    ] + [DenseFeat(name, 1) for name in train if name[0] == "n"]
    num_tasks = labels.shape[1]
    common = {
        "expert_dnn_hidden_units": EXPERT_HIDDEN,
        "gate_dnn_hidden_units": (),
        "tower_dnn_hidden_units": TOWER_HIDDEN,
        "task_types": ["binary"] * num_tasks,
        "task_names": [f"task{t}" for t in range(num_tasks)],
        "device": "cpu",
    }
    if trunk == "mmoe":
        model = MMOE(features, num_experts=NUM_EXPERTS, **common)
    else:
        counts = {"shared_expert_num": NUM_SHARED, "specific_expert_num": NUM_OWN}
        model = PLE(features, num_levels=NUM_LEVELS, **counts, **common)
    model.compile(
        torch.optim.Adam(model.parameters(), lr=LEARNING_RATE),
        loss=["binary_crossentropy"] * num_tasks,
        metrics=[],
    )

    def fit() -> None:
        model.fit(train, labels, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)

    return fit, lambda part: np.asarray(model.predict(part, 8192))


PEERS = {"torch-rechub": torch_rechub, "deepctr-torch": deepctr_torch}

if __name__ == "__main__":
    main()
