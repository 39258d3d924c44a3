"""Every balancer by name on Census-Income: one epoch of MMoE each, test AUC and rows a second.

    python benchmarks/balancers_census.py [NAME ...]

Reads the data sets from POLYTASK_DATA (else ../shared/data). The table is prepared once; each rule then
trains the same model from the same seed, as `polytask fit --balancer NAME --epochs 1` would. Untuned:
it shows that each rule trains and what it costs, not which is best.
"""

import sys

from census_trunks import base
from trials import begun

from polytask.balancing import BALANCERS
from polytask.config import validate_config
from polytask.fitting import prepare
from polytask.fitting.plan import multi_task
from polytask.metrics import quick_metric
from polytask.training import predict, train


def main() -> None:
    prepared = prepare(validate_config(base(1) | {"valid_fraction": 0, "epochs": 1}))
    print("| balancer | income auc | never married auc | rows/s |\n|---|---|---|---|")
    for name in sys.argv[1:] or BALANCERS:
        chosen = prepared.config.model_copy(update={"balancer": name})
        plan = multi_task(chosen, prepared)
        run = begun(plan, prepared)
        for _ in train(run, plan.stream()):
            pass
        assert plan.test is not None
        values = predict(run.model, plan.test).values
        aucs = [
            quick_metric("auc", t.kind, values[t.name], plan.test.labels[t.name].numpy())
            for t in plan.tasks
        ]
        rate = run.progress.rows / run.progress.train_seconds
        print(f"| {name} | {aucs[0]:.4f} | {aucs[1]:.4f} | {rate:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
