"""Every trunk by its name, through the command line, on Census-Income and KuaiRand-Pure.

    python benchmarks/every_trunk.py

One epoch each at the trunk's defaults: it shows that all of them train, not which is best
(reproductions/study_tables.py compares them tuned). On KuaiRand-Pure, like is given click (ESMM).
Reads the data from POLYTASK_DATA (else ../shared/data).
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from main_job import CENSUS, DATA, KUAIRAND

from polytask.records import read_metrics
from polytask.trunks import TRUNKS

QUICK = ("--epochs", "1", "--baseline", "none", "--no-intervals", "--overwrite")
ESMM = ("--given", "like=click", "--given-conflict", "drop")
JOBS = {
    "census_income_train.parquet": (*CENSUS, *QUICK),
    "kuairand_pure.parquet": (*KUAIRAND, *QUICK, *ESMM),
}


def main() -> None:
    print(
        "| trunk | parameters | income | never married | s | parameters | click | long view | "
        "like | play time XAUC | s |\n|" + "---|" * 11
    )
    for name in (name for name, kind in TRUNKS.items() if not kind.reads_maps):
        cells = [name]
        for file, options in JOBS.items():
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "run"
                command = [sys.executable, "-m", "polytask", "fit", str(DATA / file), *options]
                started = time.perf_counter()
                subprocess.run(
                    [*command, "--trunk", name, "--out", str(out)], check=True, capture_output=True
                )
                seconds = time.perf_counter() - started
                record = read_metrics(out)
            cells.append(f"{record.cost.multi_task.parameters:,}")
            for result in record.tasks.values():
                metric = "auc" if "auc" in result.test else "xauc"
                cells.append(f"{result.test[metric].value:.4f}")
            cells.append(f"{seconds:.0f}")
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
