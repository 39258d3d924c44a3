"""Labels of words in whole fits: a table whose truth is known, laws, resuming, and what is refused."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

import polytask
from polytask.choices import RULE_NAMES
from polytask.config import validate_config
from polytask.errors import UserError
from polytask.fitting import prepare
from polytask.fitting.building import start_training
from polytask.fitting.fitting import fit_events
from polytask.fitting.own_parts import OwnParts
from polytask.fitting.planning import multi_task
from polytask.training import train
from polytask.training.evaluation import predict
from polytask.trunks import TRUNKS

NOUNS, VERBS = [f"n{i}" for i in range(6)], [f"v{i}" for i in range(6)]
QUICK = {
    "epochs": 4,
    "batch_size": 8,
    "threads": 1,
    "ensemble": 1,
    "cross_layers": 0,
    "trunk": {"name": "shared_bottom", "hidden": [16]},
    "learning_rate": 1e-2,
    "baseline": "none",
    "input_options": {"words": {"width": 32, "embedding_dim": 8, "dropout": 0.0}},
}


def sentences(number: int, seed: int = 0) -> pa.Table:
    """Nouns and verbs by their word; `role` by the word before, which only a context can know; `loud` by rows."""
    random = np.random.default_rng(seed)
    often_N = np.array([6, 5, 4, 3, 2, 1] * 2) / 42
    rows = []
    for _ in range(number):
        words = random.choice([*NOUNS, *VERBS], random.integers(1, 9), p=often_N).tolist()
        tags = ["N" if word in NOUNS else "V" for word in words]
        rows.append(
            {
                "words": words,
                "tag": tags,
                "role": [f"after {before}" for before in ["start", *tags[:-1]]],
                "is_verb": [tag == "V" for tag in tags],
                "number": [float(word[1:]) for word in words],
            }
        )
    return pa.Table.from_pylist(rows)


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return sentences(400)


@pytest.fixture(scope="module")
def run(table: pa.Table) -> polytask.Run:
    return polytask.fit(table, ["tag", "role"], test=sentences(100, 1), **QUICK)


def test_words_and_their_contexts_are_learned(run: polytask.Run) -> None:
    tasks = run.metrics.tasks
    assert tasks["tag"].test["accuracy"].value == 1.0
    assert tasks["role"].test["accuracy"].value > 0.98
    assert tasks["role"].test["macro_f1"].value > 0.97
    labels = {each.task: each for each in run.metrics.data.labels}
    assert labels["tag"].kind == "tags" and labels["tag"].missing == 0
    assert run.config.columns["words"] == ("words",)


def test_predictions_are_lists_as_long_as_their_sentences(run: polytask.Run) -> None:
    texts = [["n1", "v2", "n1"], [], ["v0"], ["zork"]]
    found = run.predict(pa.table({"words": texts}))
    assert found["tag"].to_pylist()[:3] == [["N", "V", "N"], [], ["V"]]
    assert [len(each) for each in found["role_p"].to_pylist()] == [3, 0, 1, 1]
    assert run.predict(pa.table({"words": texts}).slice(0, 0)).num_rows == 0
    alone = [run.predict([{"words": text}])["role_p"].to_pylist()[0] for text in texts]
    for one, other in zip(alone, found["role_p"].to_pylist()):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_evaluation_is_of_words_and_says_what_training_lacked(run: polytask.Run) -> None:
    later = pa.table({"words": [["n1", "v1"], ["v2"]], "tag": [["N", "X"], None]})
    found = run.evaluate(later)
    assert found["tag"]["accuracy"].value == 0.5
    assert found["tag"].num_rows == 2
    assert any("unknown to training" in note for note in found["tag"].notes)
    assert "not evaluated: the table lacks column 'role'" in found["role"].notes


def test_a_saved_run_predicts_the_same(run: polytask.Run, table: pa.Table, tmp_path: Path) -> None:
    run.save(tmp_path / "run")
    again = polytask.load(tmp_path / "run")
    assert again.predict(table.slice(0, 20)).equals(run.predict(table.slice(0, 20)))
    assert (tmp_path / "run" / "report.html").read_text().count("macro F1")


def test_any_kind_is_a_kind_of_words(table: pa.Table) -> None:
    tasks = [polytask.tags("tag"), polytask.binary("is_verb"), polytask.regression("number")]
    run = polytask.fit(table, tasks, test=sentences(100, 1), **QUICK)
    tasks = run.metrics.tasks
    assert tasks["is_verb"].test["auc"].value > 0.999
    assert tasks["number"].test["r2"].value > 0.9
    found = run.predict([{"words": ["n3", "v1"]}]).to_pylist()[0]
    assert len(found["number"]) == 2 and found["is_verb"][1] > 0.9


def test_texts_are_split_for_words_and_tags(table: pa.Table) -> None:
    texts = pa.table(
        {name: [" ".join(each) for each in table[name].to_pylist()] for name in ("words", "tag")}
    ).rename_columns(["sentence", "tag"])
    run = polytask.fit(texts, ["tag:tags"], columns={"words": ["sentence"]}, **QUICK)
    assert run.metrics.tasks["tag"].test["accuracy"].value > 0.99


def trained(table: pa.Table, **options: object) -> tuple[object, object, object]:
    config = validate_config({"tasks": ["tag", "role"], **QUICK, **options})
    prepared = prepare(config, table)
    plan = multi_task(prepared.config, prepared)
    return plan, prepared, start_training(plan, prepared, OwnParts(), device=torch.device("cpu"))


def test_a_loss_is_the_mean_over_all_labelled_words_of_the_batch(table: pa.Table) -> None:
    rows = table.slice(0, 60).to_pylist()
    rows[0]["tag"], rows[1]["tag"] = None, [None] * len(rows[1]["words"])
    rows[2]["words"], rows[2]["tag"], rows[2]["role"] = [], [], []
    plan, prepared, run = trained(pa.Table.from_pylist(rows, schema=table.schema))
    run.model.eval()
    batch = plan.train[:20]
    result = run.model(batch.inputs)
    losses = run.model.losses(result, batch)
    for t, task in enumerate(prepared.tasks):
        labels = batch.labels[task.name]
        lengths = prepared.inputs.num_words(batch.inputs)
        flat = torch.cat([row[:n] for row, n in zip(labels, lengths)])
        kept = flat >= 0
        expected = torch.nn.functional.cross_entropy(result.outputs[t][kept], flat[kept].long())
        torch.testing.assert_close(losses[t], expected)


def test_parts_of_a_batch_make_the_whole(table: pa.Table) -> None:
    """What several processes sum is what one has."""
    plan, _, run = trained(table)
    run.model.eval()
    batch = plan.train[:30]
    counts = run.model.counts(batch)
    whole = run.model.losses(run.model(batch.inputs), batch, counts)
    parts = [batch.part(place, 3) for place in range(3)]
    totals = [run.model.counts(part) for part in parts]
    for t in range(2):
        assert sum(each.totals[t] for each in totals) == counts.totals[t]
    sums = [
        [loss * each.totals[t] for t, loss in enumerate(run.model.losses(run.model(p.inputs), p))]
        for p, each in zip(parts, totals)
    ]
    for t in range(2):
        torch.testing.assert_close(sum(each[t] for each in sums) / counts.totals[t], whole[t])


def test_predictions_do_not_hang_on_the_size_of_the_pieces(table: pa.Table) -> None:
    plan, _, run = trained(table)
    pieces, whole = predict(run.model, plan.train, batch_size=7), predict(run.model, plan.train)
    for name in ("tag", "role"):
        np.testing.assert_allclose(pieces.values[name], whole.values[name], rtol=1e-5)
    assert torch.equal(pieces.num_words, whole.num_words)


def test_a_resumed_fit_ends_like_an_undisturbed_one(table: pa.Table, tmp_path: Path) -> None:
    tables = {}
    for name in ("whole", "cut"):
        config = validate_config(
            {"tasks": ["tag", "role"], "out": tmp_path / name, "checkpoint_every": 5, **QUICK}
        )
        events = fit_events(config, table)
        for number, _ in enumerate(events):
            if name == "cut" and number == 30:
                events.close()
                break
        if name == "cut":
            polytask.resume(tmp_path / name, table)
        tables[name] = polytask.load(tmp_path / name).predict(table.slice(0, 50))
    assert tables["cut"].equals(tables["whole"])


def test_frequent_words_are_an_auxiliary_loss(table: pa.Table) -> None:
    loss = {"name": "frequency", "column": "words", "weight": "balanced"}
    run = polytask.fit(table, ["tag"], auxiliary=[loss], **QUICK)
    assert run.metrics.tasks["tag"].test["accuracy"].value > 0.99


def test_words_are_exchanged_whole_and_told_one_by_one(table: pa.Table) -> None:
    spec = {"name": "replaced_tokens", "rate": 0.5, "share": 1.0, "weight": "balanced"}
    plan, prepared, run = trained(table, auxiliary=[spec])
    (made,) = prepared.auxiliaries
    batch = plan.stream().batch(0, 0, 0)
    own, added = batch[:8], batch[8:]
    assert own.labels["replaced_tokens"].isnan().all() and added.labels["tag"].isnan().all()
    order = [own.rows.tolist().index(row) for row in added.rows.tolist()]
    before, after = own.inputs["words"][order], added.inputs["words"]
    is_other = added.labels["replaced_tokens"]
    assert torch.equal(is_other == 1, (before != after).any(dim=1))
    assert torch.equal(is_other.isnan(), before[:, 0] == 0)
    whole = {tuple(word) for row in before.transpose(1, 2).tolist() for word in row}
    assert {tuple(word) for row in after.transpose(1, 2).tolist() for word in row} <= whole
    run.model.eval()
    result = run.model(batch.inputs)
    loss = run.model.losses(result, batch)[2]
    head = run.model.objectives[0].head
    logits_W = head(torch.stack(result.features).mean(dim=0))[:, 0]
    told = torch.cat([row[:n] for row, n in zip(batch.labels[made.name], result.num_words)])
    known = ~told.isnan()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits_W[known], told[known])
    torch.testing.assert_close(loss, expected)
    assert 0.2 < told[known].mean() < 0.5


def test_domains_are_told_from_the_words_of_a_row(table: pa.Table) -> None:
    tags = table["tag"].to_pylist()
    domains = pa.array(["a" if 2 * row.count("N") > len(row) else "b" for row in tags])
    spec = {"name": "adversarial", "column": "domain", "weight": "balanced", "reversal": 0.0}
    plan, _, run = trained(
        table.append_column("domain", domains), auxiliary=[spec], ignore=["domain"]
    )
    told = [float(step.accuracies["adversarial"]) for step in train(run, plan.stream())]
    assert np.mean(told[:10]) < 0.85 < np.mean(told[-20:])


FEW = {**QUICK, "epochs": 1, "batch_size": 20, "intervals": False, "valid_fraction": 0.0}


@pytest.mark.parametrize("trunk", [n for n, kind in TRUNKS.items() if not kind.reads_maps])
def test_every_trunk_reads_words(trunk: str, table: pa.Table) -> None:
    run = polytask.fit(table.slice(0, 50), ["tag", "role"], **{**FEW, "trunk": trunk})
    assert 0 <= run.metrics.tasks["tag"].test["accuracy"].value <= 1


@pytest.mark.parametrize("rule", [rule for rule in RULE_NAMES if rule != "static"])
def test_every_rule_weighs_words(rule: str, table: pa.Table) -> None:
    run = polytask.fit(table.slice(0, 50), ["tag", "role"], **FEW, balancer=rule)
    assert 0 <= run.metrics.tasks["role"].test["accuracy"].value <= 1


def bad(change: str, table: pa.Table) -> dict[str, object]:
    rows = table.slice(0, 40).to_pylist()
    if change == "short":
        rows[7]["tag"] = rows[7]["tag"][:-1]
    for number, row in enumerate(rows):
        row["length"] = number % 2
    made = pa.Table.from_pylist(rows)
    if change == "unnamed":
        made = made.rename_columns(["w", *made.column_names[1:]])
    return {"table": made}


@pytest.mark.parametrize(
    ("change", "tasks", "options", "said"),
    [
        ("short", ["tag"], {}, "train: row 7: column 'words' has . words, but task 'tag'"),
        ("unnamed", ["tag"], {}, "no column is read word by word: name it, such as columns='words=w'"),
        ("", ["tag", "length"], {}, "task 'length' .* has one label a row: fit it apart"),
        ("", ["length"], {"columns": {"words": ["words"]}}, "has one label a row"),
        ("", ["tag"], {"auxiliary": ["swapped_order"]}, "auxiliary tasks, and frequency, adversarial, replaced_tokens"),
        ("", ["tag"], {"columns": {"words": ["words", "role"]}}, "one column is due"),
        ("", ["tag"], {"on_disk": "always"}, "a table on disk has labels of rows alone"),
    ],
)  # fmt: skip
def test_what_is_refused(
    change: str, tasks: list[str], options: dict[str, object], said: str, table: pa.Table
) -> None:
    with pytest.raises(UserError, match=said):
        polytask.fit(bad(change, table)["table"], tasks, **{**QUICK, "epochs": 1, **options})
