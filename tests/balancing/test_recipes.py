"""The code of docs/recipes.md runs, and trains."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch

RECIPES = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"
BLOCKS = re.findall(r"^```python ?(\w*)\n(.*?)^```", RECIPES.read_text(), re.MULTILINE | re.DOTALL)
SETUP = next(code for name, code in BLOCKS if name == "setup")


def run(*blocks: str) -> dict[str, object]:
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for code in (SETUP, *blocks):
        exec(compile(code, str(RECIPES), "exec"), names)
    return names


def weights_of(names: dict[str, object]) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in names["trunk"].parameters()])


def needs(library: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")


def test_the_blocks_of_plain_torch_run_one_after_another() -> None:
    plain = [code for name, code in BLOCKS if not name]
    assert len(plain) == 5
    before = weights_of(run())
    # UPGrad is imported by the recipe for Lightning, which may be absent here.
    names = run("from polytask.balancing import UPGrad", *plain)
    assert not torch.equal(weights_of(names), before)
    assert names["step"].weights.shared_T.min() > 0
    assert int(names["balancer"].num_steps) == 4 + 1 + 1 + 4
    assert all(p.grad.isfinite().all() for p in names["model"].parameters())


def test_ten_lines_are_enough() -> None:
    for name, code in BLOCKS:
        lines = [line for line in code.splitlines() if line and "import" not in line]
        assert len(lines) <= 11, name


def test_lightning(tmp_path: Path) -> None:
    needs("lightning")
    code = next(code for name, code in BLOCKS if name == "lightning")
    fit = (
        "trainer = lightning.Trainer(max_epochs=1, accelerator='cpu', logger=False, "
        f"default_root_dir={str(tmp_path)!r}, enable_progress_bar=False)\n"
        "module = Balanced()\n"
        "trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))\n"
        f"trainer.save_checkpoint({str(tmp_path / 'last.ckpt')!r})\n"
    )
    names = run(code, fit)
    assert int(names["module"].balancer.num_steps) == 4
    assert not torch.equal(weights_of(names), weights_of(run()))
    saved = torch.load(tmp_path / "last.ckpt", weights_only=False)["state_dict"]
    assert int(saved["balancer.num_steps"]) == 4


def test_accelerate() -> None:
    needs("accelerate")
    code = next(code for name, code in BLOCKS if name == "accelerate")
    names = run(code)
    assert int(names["balancer"].num_steps) == 4
    assert not torch.equal(weights_of(names), weights_of(run()))
