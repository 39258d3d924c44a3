"""Real sentences and real names: what a fit of some seconds has to reach, and how many words have vectors."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import polytask
from polytask.inputs.text_tokens import tokens_of

pytestmark = pytest.mark.data


def of_split(table: pa.Table, split: str) -> pa.Table:
    return table.filter(pc.equal(table["split"], split)).drop_columns(["split"])


def test_nearly_all_words_of_the_sentences_have_vectors(data_folder: Path) -> None:
    """99 % of the tokens, as those who cut the file of vectors counted with other tokens."""
    sentences = pq.read_table(data_folder / "sentences.parquet", columns=["text"])
    tokens_N = tokens_of(sentences["text"], "words", "text").tokens_N.dictionary_encode()
    counts_V = np.bincount(tokens_N.indices.to_numpy())
    with np.load(data_folder / "glove_50d.npz") as file:
        known = set(file["words"].tolist())
    has_vector_V = np.array([word in known for word in tokens_N.dictionary.to_pylist()])
    assert counts_V[has_vector_V].sum() / counts_V.sum() > 0.99


def test_questions_find_their_kind(data_folder: Path) -> None:
    """TREC, a third of its rows: the commonest kind is 22 % of them."""
    sentences = pq.read_table(data_folder / "sentences.parquet")
    trec = sentences.filter(pc.equal(sentences["task"], "trec")).select(["split", "label", "text"])
    run = polytask.fit(
        of_split(trec, "train").slice(0, 1500),
        ["label:multiclass"],
        valid=of_split(trec, "valid"),
        test=of_split(trec, "test"),
        columns={"text": ["text"]},
        input_options={"text": {"vectors": str(data_folder / "glove_50d.npz"), "width": 48}},
        trunk="shared_bottom",
        epochs=4,
        batch_size=32,
        ensemble=1,
        baseline="none",
        intervals=False,
        threads=1,
    )
    assert run.metrics.tasks["label"].test["accuracy"].value > 0.65


def test_names_of_products_tell_their_season_and_use(data_folder: Path) -> None:
    """Two tasks on one encoder, by a gradient rule; what the name spells out is no task here."""
    products = pq.read_table(
        data_folder / "fashion_products.parquet", columns=["split", "season", "usage", "name"]
    )
    run = polytask.fit(
        of_split(products, "train").slice(0, 2500),
        ["season", "usage"],
        valid=of_split(products, "valid"),
        test=of_split(products, "test"),
        columns={"text": ["name"]},
        input_options={"text": {"encoder": "mean"}},
        balancer="upgrad",
        epochs=3,
        ensemble=1,
        baseline="none",
        intervals=False,
        threads=1,
    )
    reached = {name: each.test["macro_auc"].value for name, each in run.metrics.tasks.items()}
    assert reached["season"] > 0.7 and reached["usage"] > 0.7
