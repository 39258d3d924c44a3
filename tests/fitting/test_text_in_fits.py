"""Texts from the table to the report: fitted, resumed, loaded, read by every trunk, frozen."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import polytask
from polytask.balancing import BALANCERS, balanced_backward
from polytask.config import validate_config
from polytask.errors import UserError
from polytask.fitting import fit_events, resume_events
from polytask.fitting.preparing.prepare import Prepared
from polytask.inputs import FittedInputs, Text
from polytask.model import MultiTaskModel
from polytask.streams import Batch
from polytask.task import binary, regression
from polytask.training.loop import TrainStep
from polytask.trunks import TRUNKS

WORDS = ("good", "bad", "red", "blue", "one", "two", "three", "big", "small", "odd")
QUICK: Mapping[str, object] = {
    "columns": {"text": ["said"]},
    "epochs": 2,
    "batch_size": 32,
    "baseline": "none",
    "intervals": False,
    "threads": 1,
    "ensemble": 1,
    "num_experts": 2,
    "expert_hidden": (8,),
    "learning_rate": 1e-2,
}
TASKS = ["good:binary", "number:regression"]
SMALL = {"width": 12, "embedding_dim": 8}


def texts(num_rows: int, seed: int = 0) -> pa.Table:
    """Whether "not" stands before "good", which takes an order to see, and how many words there are."""
    random = np.random.default_rng(seed)
    said, good = [], []
    for _ in range(num_rows):
        words = [*random.choice(WORDS, random.integers(1, 7))]
        place = random.integers(0, len(words))
        is_good = bool(random.integers(0, 2))
        words[place : place + 1] = ["so", "good", "not"] if is_good else ["not", "good", "so"]
        said.append(" ".join(words))
        good.append(int(is_good))
    return pa.table({"said": said, "good": good, "number": [len(text.split()) for text in said]})


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return texts(1200)


def with_encoder(encoder: str) -> dict[str, object]:
    return {**QUICK, "input_options": {"text": {"encoder": encoder, "dropout": 0.1, **SMALL}}}


@pytest.mark.parametrize("encoder", ["cnn", "gru"])
def test_what_takes_the_words_order_is_learned_and_kept(
    encoder: str, table: pa.Table, tmp_path: Path
) -> None:
    options = with_encoder(encoder) | {"epochs": 5}
    run = polytask.fit(table, TASKS, out=tmp_path / "run", balancer="upgrad", **options)
    assert run.metrics.tasks["good"].test["auc"].value > 0.95
    again = polytask.load(tmp_path / "run")
    later = texts(50, seed=9)
    assert again.predict(later).equals(run.predict(later))
    one = again.predict(later.slice(7, 1))["good"].to_pylist()
    assert one == pytest.approx(run.predict(later)["good"].to_pylist()[7:8], rel=1e-4)
    assert "said" in (tmp_path / "run" / "encoder.json").read_text()


def test_a_mean_does_not_see_the_order(table: pa.Table) -> None:
    run = polytask.fit(table, TASKS, **(with_encoder("mean") | {"epochs": 4}))
    assert run.metrics.tasks["good"].test["auc"].value < 0.7
    assert run.metrics.tasks["number"].test["xauc"].value > 0.4


@pytest.mark.parametrize("encoder", ["lstm", "transformer"])
def test_an_interrupted_fit_ends_with_the_same_bits(
    encoder: str, table: pa.Table, tmp_path: Path
) -> None:
    pq.write_table(table.slice(0, 400), tmp_path / "table.parquet")
    options = {
        **with_encoder(encoder),
        "table": tmp_path / "table.parquet",
        "tasks": TASKS,
        "checkpoint_every": 3,
    }

    def fitted(out: Path, stop_after: int | None) -> dict[str, torch.Tensor]:
        config = validate_config({**options, "out": out})
        steps = 0
        for event in fit_events(config):
            steps += isinstance(event, TrainStep)
            if steps == stop_after:
                break
        if stop_after is not None:
            list(resume_events(out))
        return polytask.load(out).model.state_dict()

    whole = fitted(tmp_path / "whole", None)
    parted = fitted(tmp_path / "parted", 13)
    assert all(torch.equal(whole[name], parted[name]) for name in whole)


@pytest.mark.parametrize("name", TRUNKS)
def test_the_seam_over_a_text_is_exact_for_every_parameter(name: str, table: pa.Table) -> None:
    """The gradient at the seam is the weighted sum of the losses' own, in the encoder as above it."""
    inputs = FittedInputs({"text": Text.fit(table, ["said"], encoder="gru", **SMALL)})
    torch.manual_seed(0)
    encoder = inputs.encoder()
    trunk = TRUNKS[name](encoder.out_features, 2)
    model = MultiTaskModel(encoder, trunk, [binary("good"), regression("number")]).double().eval()
    labels = {
        task: torch.tensor(table[task].to_pylist()[:40]).double() for task in ("good", "number")
    }
    batch = Batch(inputs.encode(table.slice(0, 40)), labels)
    parameters = dict(model.named_parameters())
    result = model(batch.inputs)
    own = [
        torch.autograd.grad(loss, [*parameters.values()], retain_graph=True, allow_unused=True)
        for loss in model.losses(result, batch)
    ]
    step = balanced_backward(
        model.losses(result, batch), BALANCERS["upgrad"](num_tasks=2), seam=model.seam(result)
    )
    shared_T = step.weights.shared_T.double()
    assert shared_T.shape == (2,)
    for place, (parameter_name, parameter) in enumerate(parameters.items()):
        grads = [each[place] for each in own]
        if all(grad is not None for grad in grads):
            expected = sum(weight * grad for weight, grad in zip(shared_T, grads))
            torch.testing.assert_close(parameter.grad, expected, msg=parameter_name)
    assert parameters["encoder.parts.text.encoders.0.embeddings.weight"].grad is not None


def test_frozen_vectors_have_no_gradient_and_no_state_of_the_optimizer(
    table: pa.Table, tmp_path: Path
) -> None:
    vectors = np.random.default_rng(0).normal(size=(len(WORDS), 8)).astype(np.float32)
    np.savez(tmp_path / "vectors.npz", words=np.array(WORDS), vectors=vectors)
    text = {"vectors": str(tmp_path / "vectors.npz"), "freeze": True, "width": 12}
    config = validate_config({**QUICK, "tasks": TASKS, "input_options": {"text": text}})
    run = None
    for event in fit_events(config, table):
        if hasattr(event, "training"):
            run = event.training
    assert run is not None
    frozen = run.model.encoder.parts["text"].encoders[0].embeddings.weight
    assert frozen.grad is None and not frozen.requires_grad
    held = [p for each in run.optimizers.all for g in each.param_groups for p in g["params"]]
    assert not any(parameter is frozen for parameter in held)
    assert sum(p.numel() for p in held) == sum(
        p.numel() for p in run.model.parameters() if p.requires_grad
    )


def prepared(table: pa.Table, **options: object) -> Prepared:
    config = validate_config({**QUICK, "tasks": TASKS, **options})
    return next(event for event in fit_events(config, table) if isinstance(event, Prepared))


def test_padding_is_told_and_batches_may_be_by_chance(table: pa.Table) -> None:
    by_length = prepared(table)
    assert by_length.lengths_B is not None
    (note,) = (note for note in by_length.notes if note.startswith("padding: "))
    assert note.endswith("batches are of like length")
    by_chance = prepared(table, batch_by="chance")
    assert by_chance.lengths_B is None
    assert by_chance.notes[-1].endswith("batches are by chance")
    with pytest.raises(UserError, match="no input has rows of different lengths"):
        prepared(table, input_options={"text": {"encoder": "mean"}}, batch_by="length")


def test_texts_that_are_empty_or_cut_are_told_by_part(table: pa.Table) -> None:
    odd = pa.table({"said": ["", "so " * 99], "good": [0, 1], "number": [0, 99]})
    with_odd = pa.concat_tables([table, odd])
    options = {"input_options": {"text": {"max_length": 8}}, "valid_fraction": 0.0}
    notes = " ".join(prepared(with_odd, **options).notes)
    assert "1 text without a word" in notes
    assert "only the first 8 words are read (the longest has 99)" in notes


def test_a_column_of_text_says_what_reads_it(table: pa.Table) -> None:
    unused = prepared(table, columns={}, inputs=None, derive=["x = number + 0"], allow=["x"])
    summary = unused.schema.unused_summary()
    assert summary is not None and "--columns=text=said reads it" in summary
    with pytest.raises(UserError, match=r"'said' cannot be numeric.*read by columns='text=said'"):
        prepared(table, columns={}, numeric=["said"])
    with pytest.raises(UserError, match="'said' is named by categorical and by text"):
        prepared(table, categorical=["said"])
    with pytest.raises(UserError, match="'said' is named by numeric and by text"):
        prepared(table, numeric=["said"])


def test_numbers_as_texts_stay_texts() -> None:
    """A column of digits that the text input reads is not read as numbers first, here or later."""
    random = np.random.default_rng(0)
    codes = random.integers(0, 10, (400, 6))
    table = pa.table({"said": ["".join(map(str, row)) for row in codes], "good": codes[:, 0] > 4})
    options = {**QUICK, "input_options": {"text": {"unit": "characters", **SMALL}}}
    run = polytask.fit(table, ["good:binary"], **options)
    assert {"0", "9"} <= set(run.inputs.by_name["text"].vocabularies[0].values)
    assert run.predict(table).num_rows == 400


@pytest.mark.slow
def test_two_ranks_train_as_one(table: pa.Table, tmp_path: Path) -> None:
    pq.write_table(table.slice(0, 300), tmp_path / "table.parquet")
    encoder = {"encoder": "gru", "width": 12, "embedding_dim": 8}
    options = {**QUICK, "epochs": 1, "input_options": {"text": encoder}, "balancer": "upgrad"}
    one = polytask.fit(tmp_path / "table.parquet", TASKS, out=tmp_path / "one", **options)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    fit = ["fit", str(tmp_path / "table.parquet"), "--config", str(tmp_path / "one" / "run.yaml")]
    command = [*torchrun, "-m", "polytask", *fit, "--out", str(tmp_path / "two")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    two = polytask.load(tmp_path / "two").model.state_dict()
    for name, tensor in one.model.state_dict().items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-4)
