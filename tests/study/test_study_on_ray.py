"""A study whose trainings Ray places: one process leads, one that Ray began takes part."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from polytask.config.study import write_study
from polytask.errors import UserError
from polytask.records.study_files import read_record
from polytask.study.on_ray import placed_on_ray


@pytest.mark.slow
def test_a_process_that_ray_placed_takes_part(asked, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (pip install 'polytask[ray]')")
    # Enough trials that some are left when Ray has begun.
    config = asked(
        {"epochs": 150}, trials=12, workers=1, leave_out=["trees"], out=str(tmp_path / "one")
    )
    yaml = tmp_path / "study.yaml"
    yaml.write_text(write_study(config))
    command = [sys.executable, "-m", "polytask", "study", str(yaml), "--on", "ray"]
    command += ["--storage", f"sqlite:///{tmp_path / 'shared.db'}"]
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        timeout=400,
    )
    assert ended.returncode == 0, ended.stderr
    record = read_record(tmp_path / "one")
    assert record.is_finished and record.seeds == (1, 2, 3)
    known = {(line.configuration, line.place) for line in record.trials}
    assert len(record.trials) == len(known) == record.num_trials
    told = [line for line in ended.stdout.splitlines() if ", trial " in line]
    # Ray leaves out lines that are like earlier ones.
    theirs = [line for line in told if "_join" in line]
    ours = [line for line in told if "_join" not in line]
    assert theirs and 0 < len(ours) < record.num_trials


def test_without_ray_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    named = {"storage": "sqlite://", "machines": 1, "workers": None}
    with pytest.raises(UserError, match="Ray is not installed"), placed_on_ray(tmp_path, **named):
        pass
