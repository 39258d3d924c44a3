"""Census-Income as the MMoE paper has it: two groups of tasks, the inputs, the official test."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("POLYTASK_DATA", ROOT.parent / "shared" / "data"))
GROUPS = {
    1: ("income", "income:binary:50000+"),
    2: (
        "college",
        "college=education:binary:Associates degree-academic program|"
        "Associates degree-occup /vocational|Bachelors degree(BA AB BS)|"
        "Masters degree(MA MS MEng MEd MSW MBA)|Prof school degree (MD DDS DVM LLB JD)|"
        "Doctorate degree(PhD EdD)",
    ),
}


def base(group: int) -> dict[str, object]:
    """Group 1: income with never married; group 2: college (associate degree or above) with never married.

    Inputs: all columns but education, marital status, instance weight and the labels.
    """
    return {
        "table": str(DATA / "census_income_train.parquet"),
        "test": str(DATA / "census_income_test.parquet"),
        "tasks": [GROUPS[group][1], "never_married=marital_status:binary:Never married"],
        "ignore": "education,marital_status,instance_weight",
        "monitor": f"{GROUPS[group][0]}.auc",
    }
