"""Stitches and masks in the report."""

import json
from pathlib import Path

from polytask.report import write_report


def page_of(run: Path, changes: dict[str, object]) -> str:
    figures = json.loads((run / "figures.json").read_text())
    (run / "figures.json").write_text(json.dumps(figures | changes))
    write_report(run)
    return (run / "report.html").read_text(encoding="utf-8")


def test_stitches_are_drawn_in_the_place_of_gates(run_folder: Path) -> None:
    rows = ["click", "watch"]
    stitch = {"rows": rows, "sources": rows, "weights": [[0.9, 0.1], [-0.4, 0.8]]}
    page = page_of(
        run_folder, {"gates": [], "stitches": [stitch | {"layer": 1}, stitch | {"layer": 2}]}
    )
    assert "Stitches: which task reads which network" in page and "Gates: which" not in page
    assert page.count("watch reads most from click: \N{MINUS SIGN}0.40") >= 2
    assert "After layer 2" in page


def test_masks_are_drawn_in_the_place_of_gates(run_folder: Path) -> None:
    mask = {"low": 0.2, "high": 0.7}
    masks = [
        mask | {"task": task, "layer": layer, "mean": mean}
        for task, mean in (("click", 0.5), ("watch", 0.31))
        for layer in (1, 2)
    ]
    page = page_of(run_folder, {"gates": [], "masks": masks})
    assert "Masks: how much of what is shared" in page
    assert "click lets 0.50 through and watch lets 0.31 through" in page


def test_levels_and_collapse_are_named(run_folder: Path) -> None:
    gate = {"experts": ["a", "b"], "mean": [0.99, 0.01], "std": [0.0, 0.0]}
    gates = [
        gate | {"task": task, "level": level} for task in ("click", "watch") for level in (1, 2)
    ]
    page = page_of(run_folder, {"gates": gates, "collapse": "experts collapse: b is dead"})
    assert "click, level 2" in page and "Warning: experts collapse: b is dead." in page
