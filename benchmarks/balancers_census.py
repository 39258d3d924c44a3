"""Every balancer by name on Census-Income: one epoch of MMoE each, test AUC and rows a second.

    python benchmarks/balancers_census.py [NAME ...]

Reads the data sets from POLYTASK_DATA (else ../shared/data). The table is prepared once; each rule then
trains the same model from the same seed, as `polytask fit --balancer NAME --epochs 1` would. Untuned:
it shows that each rule trains and what it costs, not which is best.
"""

import os
import sys
from pathlib import Path

import torch

from polytask.balancing import BALANCERS
from polytask.config import validate_config
from polytask.fitting import prepare
from polytask.fitting.plan import multi_task, start_training
from polytask.metrics import quick_metric
from polytask.training import predict, train

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("POLYTASK_DATA", ROOT.parent / "shared" / "data"))


def main() -> None:
    config = validate_config(
        {
            "table": DATA / "census_income_train.parquet",
            "test": DATA / "census_income_test.parquet",
            "tasks": ["income:binary:50000+", "never=marital_status:binary:Never married"],
            "ignore": "education,marital_status,instance_weight",
            "valid_fraction": 0,
            "epochs": 1,
        }
    )
    prepared = prepare(config)
    job = multi_task(prepared)
    assert job.test is not None
    print("| balancer | income auc | never married auc | rows/s |\n|---|---|---|---|")
    for name in sys.argv[1:] or BALANCERS:
        chosen = prepared.config.model_copy(update={"balancer": name})
        run = start_training(chosen, prepared, job, device=torch.device("cpu"))
        for _ in train(run, job.stream(chosen)):
            pass
        values = predict(run.model, job.test).values
        aucs = [
            quick_metric("auc", t.kind, values[t.name], job.test.labels[t.name].numpy())
            for t in job.tasks
        ]
        rate = run.progress.rows / run.progress.train_seconds
        print(f"| {name} | {aucs[0]:.4f} | {aucs[1]:.4f} | {rate:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
