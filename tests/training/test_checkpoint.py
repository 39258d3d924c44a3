"""Checkpoints: 30 steps, saved, loaded, 30 more are 60 steps to the bit; damage is noticed."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from polytask.balancing import (
    BALANCERS,
    DWA,
    Balancer,
    Combined,
    NashMTL,
    Smoothed,
    Uncertainty,
)
from polytask.errors import UserError
from polytask.files.plain import fresh_part
from polytask.inputs.embeddings import FusedEmbedding
from polytask.model import MultiTaskModel
from polytask.streams import Batch, InMemoryStream
from polytask.task import binary, regression
from polytask.training import Checkpoints, Progress, Settings, TrainingRun, train
from polytask.training.optimizer import Optimizers
from polytask.training.run_state import state_of
from polytask.training.state_files import (
    FACTS,
    TENSORS,
    DamagedStateError,
    State,
    read_state,
    write_state,
)
from polytask.trunks import MMoE

NUM_ROWS = 200
BATCH_SIZE = 20
TASKS = [binary("a"), regression("b")]

MAKE: dict[str, Callable[[], Balancer]] = {
    **{name: (lambda kind=kind: kind(2)) for name, kind in BALANCERS.items()},
    "dwa": lambda: DWA(2, window=7),
    "smoothed nash_mtl on uncertainty": lambda: Smoothed(Combined(Uncertainty(2), NashMTL(2))),
}
QUICK = ("equal", "dwa", "famo", "gradvac", "smoothed nash_mtl on uncertainty")
CASES = [
    pytest.param("equal", 30, id="equal, at the end of an epoch"),
    *(pytest.param(name, 33, id=name) for name in QUICK),
    *(
        pytest.param(name, 33, id=name, marks=pytest.mark.slow)
        for name in MAKE
        if name not in QUICK
    ),
]


class Encoder(nn.Module):
    """Sparse embeddings of both optimizers, a dense one, and a normalisation with running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.rare = nn.Embedding(40, 3, sparse=True)
        self.common = nn.Embedding(5, 3)
        self.rows = FusedEmbedding([40], 3, sparse=True)
        self.norm = nn.BatchNorm1d(9)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        ids_BC = inputs["ids"]
        parts = [self.rare(ids_BC[:, 0]), self.common(ids_BC[:, 1]), self.rows(ids_BC[:, :1])]
        return self.norm(torch.cat(parts, dim=1))


def make_table(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    ids_BC = torch.randint(40, (NUM_ROWS, 2), generator=generator) % torch.tensor([40, 5])
    noise = torch.randn(NUM_ROWS, generator=generator)
    labels = {"a": (ids_BC[:, 0] % 3 == 0).float(), "b": ids_BC[:, 1] + noise}
    return Batch({"ids": ids_BC}, labels)


def make_run(balancer: Balancer | None = None, *, dropout: float = 0.3, **changes) -> TrainingRun:
    torch.manual_seed(0)
    trunk = MMoE(9, 2, num_experts=2, expert_hidden=(5,), dropout=dropout)
    model = MultiTaskModel(Encoder(), trunk, TASKS, tower_hidden=(3,), dropout=dropout)
    # 10 steps an epoch: 30 steps end with the third epoch, 33 in the middle of the fourth.
    chosen = Settings(epochs=6, learning_rate=1e-2, clip_norm=1.0, patience=0)
    chosen = dataclasses.replace(chosen, **changes)
    return TrainingRun.start(model, balancer or BALANCERS["equal"](2), settings=chosen)


def train_until(run: TrainingRun, last_step: int, *, valid: Batch | None = None) -> None:
    for step in train(run, InMemoryStream(make_table(), BATCH_SIZE), valid=valid):
        if step.step == last_step:
            return


def everything(run: TrainingRun) -> dict[str, Tensor]:
    state = state_of(run)
    facts = state.facts["progress"]
    numbers = {n: torch.tensor(float(facts[n])) for n in facts if n != "train_seconds"}
    steps = {name: torch.tensor(int(n)) for name, n in state.facts["optimizer numbers"].items()}
    return {**state.tensors, **numbers, **steps}


def require_equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert tensor.dtype == right[name].dtype, name
        assert torch.equal(tensor.nan_to_num(nan=7.0), right[name].nan_to_num(nan=7.0)), name


@pytest.mark.parametrize(("name", "middle"), CASES)
def test_saved_and_loaded_in_the_middle_is_the_same_to_the_bit(
    name: str, middle: int, tmp_path: Path
) -> None:
    make_balancer = MAKE[name]
    valid = make_table(seed=1)
    whole = make_run(make_balancer())
    train_until(whole, 60, valid=valid)

    first = make_run(make_balancer())
    train_until(first, middle, valid=valid)
    Checkpoints(tmp_path).save(first, log_bytes=123)
    torch.manual_seed(99)
    second = make_run(make_balancer())
    torch.rand(1000)
    restored = Checkpoints(tmp_path).restore(second)
    assert (restored.log_bytes, restored.is_finished, restored.notices) == (123, False, ())
    require_equal(everything(second), everything(first))
    train_until(second, 60, valid=valid)
    require_equal(everything(second), everything(whole))


def test_without_the_optimizers_moments_the_weights_would_differ(tmp_path: Path) -> None:
    """The comparison can fail: the same, with one thing of the checkpoint left out."""
    runs = [make_run(), make_run()]
    train_until(runs[0], 30)
    Checkpoints(tmp_path).save(runs[0])
    Checkpoints(tmp_path).restore(runs[1])
    runs[1].optimizers = Optimizers(runs[1].model, learning_rate=1e-2, weight_decay=1e-5)
    train_until(runs[1], 60)
    whole = make_run()
    train_until(whole, 60)
    weights = [run.model.heads[0].weight for run in (runs[1], whole)]
    assert not torch.equal(*weights)


def test_a_run_that_stopped_early_stays_stopped(tmp_path: Path) -> None:
    """Patience was out at the checkpoint: nothing is trained, the best weights are put back."""
    valid = make_table(seed=1)
    run = make_run(patience=1, learning_rate=0.1)
    checkpoints = Checkpoints(tmp_path)
    for step in train(run, InMemoryStream(make_table(), BATCH_SIZE), valid=valid):
        if checkpoints.is_due(run, step):
            checkpoints.save(run)
    assert 0 < run.progress.best_step < run.progress.step < 60
    fresh = make_run(patience=1, learning_rate=0.1)
    assert not checkpoints.restore(fresh).is_finished
    assert list(train(fresh, InMemoryStream(make_table(), BATCH_SIZE), valid=valid)) == []
    require_equal(fresh.model.state_dict(), run.model.state_dict())


def test_every_field_of_progress_comes_back(tmp_path: Path) -> None:
    run = make_run()
    weights = {name: value + 1 for name, value in run.model.state_dict().items()}
    numbers = {
        field.name: type(getattr(Progress(), field.name))(i + 1)
        for i, field in enumerate(dataclasses.fields(Progress))
        if field.name != "best_weights"
    }
    run.progress = Progress(**{**numbers, "train_seconds": 0.1 + 0.2}, best_weights=weights)
    Checkpoints(tmp_path).save(run)
    fresh = make_run()
    Checkpoints(tmp_path).restore(fresh)
    for name in numbers:
        assert getattr(fresh.progress, name) == getattr(run.progress, name)
    require_equal(fresh.progress.best_weights, weights)
    run.progress = Progress(step=1)
    Checkpoints(tmp_path).save(run)
    fresh = make_run()
    Checkpoints(tmp_path).restore(fresh)
    assert fresh.progress == Progress(step=1) and fresh.progress.best_score == -math.inf


def test_they_are_due_at_epochs_validations_and_every_n_steps(tmp_path: Path) -> None:
    due = {}
    for every in (0, 4):
        run, checkpoints = make_run(epochs=2), Checkpoints(tmp_path, every=every)
        valid = make_table(seed=1) if every == 0 else None
        run.settings = dataclasses.replace(run.settings, validations_per_epoch=2)
        steps = train(run, InMemoryStream(make_table(), BATCH_SIZE), valid=valid)
        due[every] = [step.step for step in steps if checkpoints.is_due(run, step)]
    assert due == {0: [5, 10, 15, 20], 4: [4, 8, 10, 12, 16, 20]}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def saved_at(folder: Path, *steps: int) -> TrainingRun:
    """A run with checkpoints at these steps."""
    run = make_run()
    for step in train(run, InMemoryStream(make_table(), BATCH_SIZE)):
        if step.step in steps:
            Checkpoints(folder).save(run, log_bytes=step.step)
        if step.step == max(steps):
            return run
    raise AssertionError("the run is shorter")


def test_the_newest_two_are_kept_and_nothing_half_written(tmp_path: Path) -> None:
    fresh_part(tmp_path / "step-0000000002").mkdir()
    run = saved_at(tmp_path, 3, 5, 7)
    assert names_in(tmp_path) == ["step-0000000005", "step-0000000007"]
    Checkpoints(tmp_path).save(run, is_finished=True)
    assert names_in(tmp_path) == ["finished", "step-0000000007"]
    assert not any(name.startswith(("optimizer", "best")) for name in read(tmp_path / "finished"))


def read(path: Path) -> dict[str, Tensor]:
    return dict(read_state(path).tensors)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 0x10
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "truncated": truncate,
    "flipped": flip,
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": Path.unlink,
}


@pytest.mark.parametrize("file", [TENSORS, FACTS])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_one_falls_back_saying_so(damage: str, file: str, tmp_path: Path) -> None:
    whole = saved_at(tmp_path, 31, 37)
    DAMAGE[damage](tmp_path / "step-0000000037" / file)
    run = make_run()
    restored = Checkpoints(tmp_path).restore(run)
    assert restored.log_bytes == run.progress.step == 31
    assert "step-0000000037 is damaged" in restored.notices[0] and file in restored.notices[0]
    assert "going on from the one before" in restored.notices[1]
    # The next one pushes the damaged one out, though that lies further on.
    train_until(run, 35)
    Checkpoints(tmp_path).save(run)
    assert names_in(tmp_path) == ["step-0000000031", "step-0000000035"]
    train_until(run, 37)
    require_equal(everything(run), everything(whole))


def test_two_damaged_ones_mean_the_beginning(tmp_path: Path) -> None:
    saved_at(tmp_path, 31, 37)
    for path in tmp_path.iterdir():
        truncate(path / TENSORS)
    run = make_run()
    restored = Checkpoints(tmp_path).restore(run)
    assert restored.log_bytes is None and run.progress.step == 0
    assert "trained from the beginning" in restored.notices[-1]
    assert Checkpoints(tmp_path / "none").restore(run).notices == ()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "state"
    tensors = {"x": torch.arange(3.0), "none": torch.zeros(0, 2), "number": torch.tensor(5)}
    write_state(path, State(tensors, {"group": {"name": "ä 1", "other": ""}}))
    return path


@settings(max_examples=100, deadline=None, database=None)
@given(data=st.data())
def test_no_byte_can_be_changed_or_cut_unnoticed(data: st.DataObject, small: Path) -> None:
    file = small / data.draw(st.sampled_from([TENSORS, FACTS]))
    whole, before = file.read_bytes(), read_state(small)
    place = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(0, 255))
    cut = data.draw(st.booleans())
    changed = whole[:place] if cut else whole[:place] + bytes([other]) + whole[place + 1 :]
    try:
        file.write_bytes(changed)
        after = read_state(small)
    except DamagedStateError:
        return
    finally:
        file.write_bytes(whole)
    # White space of the JSON may be another: what is read is not.
    assert after.facts == before.facts
    require_equal(dict(after.tensors), dict(before.tensors))


def test_what_changes_the_bits_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved_at(tmp_path, 31)
    before = torch.get_num_threads()
    run = make_run(precision="bf16")
    monkeypatch.setattr(torch, "__version__", "9.9.9")
    try:
        torch.set_num_threads(before + 1)
        (notice,) = Checkpoints(tmp_path).restore(run).notices
    finally:
        torch.set_num_threads(before)
    assert "not bit-identical" in notice
    for words in (f"threads: {before} then, {before + 1} now", "precision: fp32", "9.9.9 now"):
        assert words in notice
    assert run.progress.step == 31


def test_another_run_s_checkpoint_is_refused(tmp_path: Path) -> None:
    run = saved_at(tmp_path, 31)
    with pytest.raises(UserError, match="epochs: 6 then, 7 now"):
        Checkpoints(tmp_path).restore(make_run(epochs=7))
    with pytest.raises(UserError, match="rows: nothing then, 7 now"):
        Checkpoints(tmp_path, origin={"rows": "7"}).restore(make_run())
    with pytest.raises(UserError, match="not one of this model"):
        Checkpoints(tmp_path).restore(make_run(BALANCERS["dwa"](2)))
    wider = MultiTaskModel(Encoder(), MMoE(6, 2, num_experts=3), TASKS)
    other = TrainingRun.start(wider, BALANCERS["equal"](2), settings=run.settings)
    with pytest.raises(UserError, match="not one of this model"):
        Checkpoints(tmp_path).restore(other)


def test_nothing_that_is_written_runs_code(tmp_path: Path) -> None:
    saved_at(tmp_path, 1)
    (path,) = tmp_path.iterdir()
    assert names_in(path) == [FACTS, TENSORS]
    assert json.loads((path / FACTS).read_text())["facts"]["progress"]["step"] == "1"
    header_bytes = int.from_bytes((path / TENSORS).read_bytes()[:8], "little")
    json.loads((path / TENSORS).read_bytes()[8 : 8 + header_bytes])
