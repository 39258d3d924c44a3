"""Options of reading reach every table of a run, and a few rows are read as the training table was."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import polytask

N = 400


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    x = random.normal(size=N).round(3)
    country = random.choice(["NA", "DE", "US", "FR"], N)
    click = (random.random(N) < 1 / (1 + np.exp(-2 * x - 3 * (country == "NA")))).astype(int)
    texts = [*x[:5].astype(str), "—", *x[6:].astype(str)]
    return pd.DataFrame({"x": texts, "country": country, "click": click.astype(str)})


@pytest.fixture(scope="module")
def run(frame: pd.DataFrame) -> polytask.Run:
    return polytask.fit(
        frame,
        "click",
        epochs=2,
        batch_size=64,
        baseline="none",
        intervals=False,
        categorical="country",
    )


def test_text_that_is_numbers_is_an_input_and_a_label(run: polytask.Run) -> None:
    assert run.inputs.by_name["numeric"].columns == ("x",)
    assert run.tasks[0].kind.name == "binary"
    assert "NA" in run.inputs.by_name["categorical"].vocabularies[0].values


def test_one_row_is_read_as_the_training_table_was(run: polytask.Run, frame: pd.DataFrame) -> None:
    whole = run.predict(frame)["click"].to_numpy()
    for row in (0, 5, int(np.argmax(frame.country == "NA"))):
        alone = run.predict(frame.iloc[[row]])["click"].to_numpy()
        np.testing.assert_allclose(alone, whole[row], rtol=1e-5)
    as_dict = run.predict({"x": "—", "country": "NA"})["click"].to_numpy()
    in_numbers = run.predict({"x": [None], "country": ["NA"]})["click"].to_numpy()
    np.testing.assert_allclose(as_dict, in_numbers)


def test_options_reach_the_test_table_and_prediction(frame: pd.DataFrame, tmp_path: Path) -> None:
    numbers = pd.to_numeric(frame.x, errors="coerce").fillna(-9)
    german = pd.DataFrame({"x": numbers, "z": np.arange(N) % 7 / 2, "click": frame.click})
    path = tmp_path / "t.csv"
    german.to_csv(path, index=False, sep=";", decimal=",", encoding="utf-16")
    run = polytask.fit(
        *(path, "click"),
        test=path,
        missing="x=-9",
        encoding="utf-16",
        text="z",
        epochs=1,
        batch_size=64,
        baseline="none",
        intervals=False,
    )
    tested = run.metrics.tasks["click"].test
    assert tested is not None
    assert tested.num_rows == N
    (x,) = run.inputs.by_name["numeric"].scales
    (z,) = run.inputs.by_name["categorical"].vocabularies
    assert x.has_missing
    assert set(z.values) == {"0,0", "0,5", "1,0", "1,5", "2,0", "2,5", "3,0"}
    # The same rows from memory, with null and with the word: one answer.
    texts = german.assign(z=german.z.map(lambda value: f"{value:.1f}".replace(".", ",")))
    nulls = texts.assign(x=texts.x.where(texts.x != -9))
    scores = [run.predict(table)["click"].to_numpy() for table in (path, texts, nulls)]
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[1], scores[2])
