"""The folded first layer in what surrounds a model: tasks given others, ranks, checkpoints, export."""

from pathlib import Path

import pytest
import torch

import folding
from forked import Forked
from polytask import kernels
from polytask.inputs import FittedInputs
from polytask.streams import Batch
from polytask.task import Task, binary
from polytask.training.checkpoint import Checkpoints

PLAIN = [binary("a"), binary("b")]
GIVEN = [binary("a"), binary("b", given="a")]


@pytest.fixture(scope="module")
def inputs() -> FittedInputs:
    return folding.fitted()


@pytest.fixture(scope="module")
def rows(inputs: FittedInputs) -> Batch:
    return folding.labelled(inputs)


@pytest.fixture(params=["kernels", "operators"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "operators":
        monkeypatch.setattr(kernels, "suits", lambda *_: False)
    elif kernels.state().startswith("no"):
        pytest.skip(kernels.state())


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("tasks", [PLAIN, GIVEN], ids=["plain", "given"])
def test_200_steps_with_and_without_it(
    tasks: list[Task], inputs: FittedInputs, rows: Batch
) -> None:
    found = [
        folding.losses_of(folding.make_run(inputs, tasks, folds=folds, epochs=67), rows)
        for folds in (False, True)
    ]
    assert len(found[0]) == 201
    assert found[0][-1, 0] < 0.7 * found[0][0, 0], "something was learned"
    torch.testing.assert_close(*found, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("way")
def test_a_resumed_run_repeats_its_bits(inputs: FittedInputs, rows: Batch, tmp_path: Path) -> None:
    whole, first, second = (folding.make_run(inputs, GIVEN, folds=True, epochs=4) for _ in range(3))
    expected = folding.losses_of(whole, rows)
    folding.losses_of(first, rows, last_step=5)
    Checkpoints(tmp_path).save(first, log_bytes=0)
    Checkpoints(tmp_path).restore(second)
    assert torch.equal(folding.losses_of(second, rows), expected[5:])
    for mine, theirs in zip(second.model.parameters(), whole.model.parameters()):
        assert torch.equal(mine, theirs)


def test_a_checkpoint_is_the_unfolded_models_too(inputs: FittedInputs, tmp_path: Path) -> None:
    folded, plain = (folding.make_run(inputs, PLAIN, folds=f, epochs=1) for f in (True, False))
    rows = folding.labelled(inputs)
    folding.losses_of(folded, rows)
    plain.model.load_state_dict(folded.model.state_dict())
    with torch.no_grad():
        found, expected = (
            run.model(rows.inputs, needs_seam=False).outputs for run in (folded, plain)
        )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_two_ranks_take_one_processs_steps(
    inputs: FittedInputs, rows: Batch, tmp_path: Path, forked_torch: Forked
) -> None:
    here = Path(__file__).parent
    forked_torch.script(
        f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parent / 'helpers')!r}]\n"
        f"import pathlib, folded_by_two; folded_by_two.train_both(pathlib.Path({str(tmp_path)!r}))\n",
        tmp_path,
        seconds=120,
    ).ended()
    first, second = (torch.load(tmp_path / number) for number in "01")
    alone = folding.losses_of(folding.make_run(inputs, PLAIN, folds=False, epochs=5), rows)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, alone, rtol=0, atol=1e-5)


def test_an_exported_program_has_the_folded_models_outputs(
    inputs: FittedInputs, rows: Batch
) -> None:
    run = folding.make_run(inputs, PLAIN, folds=True, epochs=1)
    model = run.model.eval()

    class Outputs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, categorical: torch.Tensor, numeric: torch.Tensor) -> list[torch.Tensor]:
            found: list[torch.Tensor] = self.model(
                {"categorical": categorical, "numeric": numeric}
            ).outputs
            return found

    given = tuple(rows.inputs[name] for name in ("categorical", "numeric"))
    free = {0: torch.export.Dim("batch", min=1)}
    program = torch.export.export(Outputs(), given, dynamic_shapes=(free, free)).module()
    for num_rows in (len(rows), 3):
        part = rows[:num_rows]
        with torch.no_grad():
            expected = model(part.inputs, needs_seam=False).outputs
        found = program(part.inputs["categorical"], part.inputs["numeric"])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
