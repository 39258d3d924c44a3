"""A pretrained encoder: a tiny BERT on disk, frozen with cached features, trained in part, and lacking."""

import json
import sys
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
import torch

import polytask
from polytask.errors import UserError
from polytask.inputs.testing import check_input
from polytask.inputs.text_checkpoint import Checkpoint
from polytask.inputs.text_pretrained import PretrainedText

WORDS = ("good", "bad", "red", "blue", "one", "two", "three", "not", "##s")
TABLE = pa.table(
    {"a": ["good reds", "not bad", None, ""], "b": ["one", "two three", "blue", "bad"]}
)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    transformers = pytest.importorskip("transformers", reason="needs polytask[text]")
    tokenizers = pytest.importorskip("tokenizers", reason="needs polytask[text]")
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS)
    ids = {word: place for place, word in enumerate(words)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=12,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    torch.manual_seed(0)
    folder = tmp_path / "checkpoint"
    model = transformers.BertModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def fitted(folder: Path, **options: object) -> PretrainedText:
    cache = folder.parent / "cache"
    return PretrainedText.fit(
        TABLE, ["a", "b"], checkpoint=str(folder), cache=str(cache), **options
    )


@pytest.mark.parametrize("options", [{}, {"freeze": 1}, {"freeze": False, "pair": ("b", "a")}])
def test_laws(checkpoint: Path, options: dict[str, object]) -> None:
    later = pa.table({"a": ["never seen", None], "b": ["red " * 30, "not"]})
    check_input(partial(PretrainedText.fit, checkpoint=str(checkpoint), **options), TABLE, later)


def test_a_vector_is_the_mean_of_the_last_states(checkpoint: Path) -> None:
    frozen, trained = fitted(checkpoint), fitted(checkpoint, freeze=False)
    model = Checkpoint(checkpoint).model().eval()
    # [CLS] good red ##s [SEP]
    states = model(input_ids=torch.tensor([[2, 4, 6, 12, 3]])).last_hidden_state[0]
    expected = torch.nn.functional.layer_norm(states.mean(dim=0), (16,))
    for each in (frozen, trained):
        vectors = each.module().eval()(each.encode(TABLE))
        torch.testing.assert_close(vectors[0, :16], expected, rtol=1e-4, atol=1e-5)
    assert frozen.encode(TABLE).dtype == torch.float32
    assert trained.encode(TABLE)[0, 0, :6].tolist() == [3, 5, 7, 13, 4, 0]


def test_features_are_computed_once_and_anew_after_any_change(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    model = Checkpoint.model
    monkeypatch.setattr("polytask.inputs.text_features._FEWEST_KEPT", 1)
    monkeypatch.setattr(Checkpoint, "model", lambda self: calls.append(1) or model(self))
    table = TABLE.select(["a"])

    def features(rows: pa.Table = table, **options: object) -> torch.Tensor:
        calls.clear()
        options = {"checkpoint": str(checkpoint), "cache": str(checkpoint.parent / "c"), **options}
        return PretrainedText.fit(rows, ["a"], **options).encode(rows)

    first = features()
    assert calls == [1]
    assert torch.equal(features(), first) and not calls
    assert torch.equal(features(table.take([1, 0, 2, 3])), first[[1, 0, 2, 3]]) and not calls
    features(pa.table({"a": ["good reds", "not bad", None, "one"]}))
    assert calls == [1]
    features(max_length=3)
    assert calls == [1]
    tokenizer = checkpoint / "tokenizer.json"
    values = json.loads(tokenizer.read_text())
    values["model"]["vocab"] |= {"good": 5, "bad": 4}
    tokenizer.write_text(json.dumps(values))
    assert not torch.equal(features(), first) and calls == [1]
    other = model(Checkpoint(checkpoint))
    with torch.no_grad():
        next(other.parameters()).mul_(1.5)
    other.save_pretrained(checkpoint)
    features()
    assert calls == [1]
    (damaged, *_) = (checkpoint.parent / "c").iterdir()
    for file in (checkpoint.parent / "c").iterdir():
        file.write_bytes(b"damaged")
    features()
    assert calls == [1] and damaged.exists()


def test_what_is_frozen_has_no_gradient(checkpoint: Path) -> None:
    assert not list(fitted(checkpoint).module().parameters())
    for freeze, expected in ((1, {"encoder.layer.1"}), (2, set()), (False, None)):
        each = fitted(checkpoint, freeze=freeze)
        module = each.module()
        module(each.encode(TABLE)).square().sum().requires_grad_().backward()
        named = dict(module.encoders[0].model.named_parameters())
        trained = {name for name, p in named.items() if p.grad is not None}
        assert trained == {name for name, p in named.items() if p.requires_grad}
        layers = {".".join(name.split(".")[:3]) for name in trained}
        if expected is not None:
            assert layers == expected
        else:
            assert {"embeddings.word_embeddings.weight", "encoder.layer.0"} <= layers
        assert not any(name.startswith("pooler") for name in trained)


@pytest.mark.parametrize("freeze", [True, 1])
def test_a_fit_is_saved_loaded_and_refuses_other_weights(
    checkpoint: Path, tmp_path: Path, freeze: bool | int
) -> None:
    said = [f"{WORDS[i % 7]} {WORDS[(i * i) % 8]} one" for i in range(300)]
    table = pa.table({"said": said, "good": [int("good" in text) for text in said]})
    run = polytask.fit(
        table,
        ["good:binary"],
        columns={"pretrained": ["said"]},
        input_options={"pretrained": {"checkpoint": str(checkpoint), "freeze": freeze}},
        epochs=3,
        batch_size=32,
        ensemble=1,
        baseline="none",
        intervals=False,
        threads=1,
        allow=["said"],
        out=tmp_path / "run",
    )
    again = polytask.load(tmp_path / "run")
    assert again.predict(table).equals(run.predict(table))
    trained = {name for name, p in run.model.named_parameters() if p.requires_grad}
    start = Checkpoint(checkpoint).model().state_dict()
    ends = run.model.state_dict()
    prefix = "encoder.parts.pretrained.encoders.0.model."
    moved = {n for n in start if prefix + n in ends and not torch.equal(start[n], ends[prefix + n])}
    assert moved == {n.removeprefix(prefix) for n in trained if n.startswith(prefix)}
    other = Checkpoint(checkpoint).model()
    with torch.no_grad():
        next(other.parameters()).mul_(2)
    other.save_pretrained(checkpoint)
    with pytest.raises(UserError, match="are not those that this run was trained with"):
        again.predict(table)


def test_texts_that_are_cut_are_counted(checkpoint: Path) -> None:
    each = fitted(checkpoint, max_length=4)
    assert each.notes(TABLE) == ["a: of 1 text only the first 4 pieces are read"]
    assert fitted(checkpoint).longest == 12


def test_a_checkpoint_that_lacks_something_is_named(checkpoint: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: there is no such folder; a folder that"):
        fitted(checkpoint.parent / "nowhere")
    with pytest.raises(UserError, match="name the folder of a model"):
        PretrainedText.fit(TABLE, ["a"])
    with pytest.raises(UserError, match="encoder's 2 layers"):
        fitted(checkpoint, freeze=3)
    config = checkpoint / "config.json"
    config.write_text("{}")
    with pytest.raises(UserError, match="names no hidden_size"):
        fitted(checkpoint)
    config.unlink()
    (checkpoint / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"it lacks config.json, tokenizer.json"):
        fitted(checkpoint)


def test_without_the_extra_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"pip install 'polytask\[text\]'"):
        PretrainedText.fit(TABLE, ["a"], checkpoint=str(tmp_path))


def test_what_is_installed_but_cannot_be_loaded_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tokenizers", "transformers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="No module named 'no_such_library'"):
        PretrainedText.fit(TABLE, ["a"], checkpoint=str(tmp_path))
