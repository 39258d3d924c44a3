"""benchmarks/sharded_tables.py: TorchRec's table over ranks is one table, also after it was dealt anew."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "sharded_tables.py"


def trained(folder: Path, *arguments: str, ranks: int) -> dict[str, object]:
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(ranks)] if ranks else []
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", *launcher, str(SCRIPT), *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.slow
def test_two_ranks_and_then_three_are_one_process(tmp_path: Path) -> None:
    """Beside torch's own embedding and row-wise Adagrad as a formula; six steps, saved after three."""
    pytest.importorskip("torchrec", reason="TorchRec is not installed (docs/recipes.md)")
    plain = trained(tmp_path, "--plain", "--steps", "6", "--table", "plain", ranks=0)
    first = trained(tmp_path, "--steps", "3", "--save", "half", ranks=2)
    second = trained(tmp_path, "--steps", "3", "--load", "half", "--table", "dealt", ranks=3)
    losses = torch.tensor([*first["losses"], *second["losses"]])
    torch.testing.assert_close(losses, torch.tensor(plain["losses"]), rtol=0, atol=1e-5)
    expected, found = (load_file(tmp_path / name)["table"] for name in ("plain", "dealt"))
    assert expected.std() > 0.01 and not torch.equal(expected[:10], expected[10:20])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
