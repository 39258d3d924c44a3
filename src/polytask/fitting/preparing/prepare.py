"""A table and a configuration -> batches of rows: everything that happens before the first step."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from torch import Tensor

from polytask.auxiliary import Auxiliary, TrainingRows
from polytask.config import FitConfig, TaskConfig
from polytask.config.build import build_inputs
from polytask.config.presets import with_preset
from polytask.data.derive import Derivation, parse_derivation
from polytask.data.labels import LabelCount, LabelEncoder
from polytask.data.leaks import find_leaks, stop_at_leaks
from polytask.data.notes import notes_of
from polytask.data.readers import TableSource, read_table
from polytask.data.schema import Schema
from polytask.errors import UserError
from polytask.fitting.budget import with_budget
from polytask.fitting.preparing.auxiliaries import (
    fit_auxiliaries,
    with_auxiliary_tasks,
    with_labels_of,
)
from polytask.fitting.preparing.bad_rows import encoded_parts, rows_named, without_bad_rows
from polytask.fitting.preparing.columns import check_columns, input_columns, schema_of
from polytask.fitting.preparing.data_sets import (
    DataSet,
    data_sets_of,
    read_data_sets,
    with_inputs_noted,
)
from polytask.fitting.preparing.encoding import (
    apply_derivations,
    derived_from,
    made_from,
    with_dates,
)
from polytask.fitting.preparing.growing import check_growth, growing_options, grown
from polytask.fitting.preparing.history import (
    history_fit,
)
from polytask.fitting.preparing.lengths import Lengths, lengths_of_rows
from polytask.fitting.preparing.seen import chain, seen_in
from polytask.fitting.preparing.splitting import Parts, is_by_time, split_in_words, split_table
from polytask.fitting.preparing.tasks import (
    label_words,
    make_tasks,
    resolve_kinds,
    resolve_tasks,
)
from polytask.fitting.preparing.where import matching
from polytask.fitting.preparing.words import check_words, refuse_words, with_words
from polytask.inputs import FittedInputs
from polytask.records import Leak, SeenRecord
from polytask.streams import Batch, StoredRows
from polytask.task import Task


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Rows for training, validation and test, and how they came about.

    `config` is complete: tasks have their kinds, whether asked for or inferred (`kind_reasons`).
    `split` says in words how the parts were parted, `notes` how columns were read, a line each.
    `data_sets` are the tables that were joined, where there are several.
    `lengths_B` are of the training rows, where their batches are to be of like length.
    `stored` are all training rows, where they are on disk: `train` is then a sample of
    them; `stored_test` all rows of a test that is larger than `test`, a draw of them. `kept` is
    what must live as long as this, such as a temporary folder.
    `seen` are the training rows of the runs whose inputs go on in this one, and its own, the last; `growth` says how inputs grew,
    and stands in `notes` as well.
    `valid_is_random`: the validation rows were drawn among those to train on, each by itself.
    """

    config: FitConfig
    schema: Schema
    inputs: FittedInputs
    targets: LabelEncoder
    train: Batch
    valid: Batch | None
    test: Batch | None
    kind_reasons: tuple[str, ...]
    label_counts: tuple[LabelCount, ...]
    leaks: tuple[Leak, ...]
    split: str
    notes: tuple[str, ...]
    unknown_classes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    auxiliaries: tuple[Auxiliary, ...] = ()
    data_sets: tuple[DataSet, ...] = ()
    lengths_B: Tensor | None = None
    stored: StoredRows | None = None
    stored_test: StoredRows | None = None
    kept: object = None
    valid_is_random: bool = False
    seen: tuple[SeenRecord, ...] = ()
    growth: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self.targets.tasks

    @property
    def num_rows(self) -> dict[str, int]:
        """How many rows each part has that there is."""
        parts = {"train": self.train, "valid": self.valid, "test": self.test}
        found = {name: len(part) for name, part in parts.items() if part is not None}
        if self.stored_test is not None:
            found["test"] = len(self.stored_test)
        return found | {"train": self.num_train}

    @property
    def num_train(self) -> int:
        """How many rows there are to train on."""
        return len(self.train if self.stored is None else self.stored)


def prepare(
    config: FitConfig,
    table: TableSource | None = None,
    *,
    parts: Mapping[str, TableSource] | None = None,
) -> Prepared:
    """Read, derive, split, and fit the encoders on the training rows.

    `parts` may hold tables for "valid" and "test" in the place of files that the options name.

    Raises UserError for everything that can be wrong with the table, the tasks or the options.
    """
    config = with_preset(config)
    derivations = [parse_derivation(text) for text in config.derive]
    source = table if table is not None else config.table
    if config.data and source is None:
        config, split = read_data_sets(config, derivations, parts or {})
        config = resolve_tasks(with_auxiliary_tasks(config, split.train.column_names), split.train)
        check_columns(config, split.train)
    else:
        config, split = _read_and_split(config, source, derivations, parts or {})
    return prepare_parts(config, split, named=parts or {})


def prepare_parts(
    config: FitConfig, split: Parts, *, named: Collection[str] = (), is_sample: bool = False
) -> Prepared:
    """The same of tables that are split already, with their derived columns.

    `named` parts are tables of their own. `is_sample`: the rows are a few of many more, which are read later.
    """
    fits, derivations = build_inputs(config), [parse_derivation(text) for text in config.derive]
    check_growth(config)
    train = split.train
    config, kind_reasons = resolve_kinds(with_dates(config, train), train)
    config = with_words(config, train)
    schema = schema_of(config, train, derivations)
    check_words(config, train, schema.inputs)
    bad_rows: tuple[str, ...] = ()
    if config.on_bad_row == "drop":
        split, bad_rows = without_bad_rows(split, schema.inputs)
        train = split.train
    if not schema.inputs:
        reasons = "; ".join(f"{column.name}: {column.reason}" for column in schema.columns[:8])
        raise UserError(f"no column is left as an input ({reasons}); name some with --inputs")
    fitted = LabelEncoder.fit(
        train,
        make_tasks(config),
        given_conflict=config.given_conflict,
        missing=label_words(config),
    )
    labels_BT = fitted.encode(train).labels_BT
    leaks = find_leaks(train, schema, labels_BT, fitted.tasks)
    stop_at_leaks(leaks, config.allow)
    fits["history"] = history_fit(config, fits["history"], fitted.tasks, labels_BT)
    with rows_named(split, "train"):
        inputs = FittedInputs.fit(train, input_columns(config, schema, train), fits=fits)
    ids = inputs.by_name["categorical"].columns if "categorical" in inputs.by_name else ()
    seen = seen_in(config, train, ids)
    inputs, growth = grown(config, inputs, seen)
    encoded = encoded_parts(config, split, inputs, fitted)
    config = with_inputs_noted(config, split, inputs.columns)
    examples = {name: each for name, (each, _) in encoded.items()}
    data_sets = data_sets_of(config, split)
    set_rows = {each.name: each.rows["train"] for each in data_sets}
    rows = TrainingRows(train, inputs, examples["train"].inputs, set_rows)
    auxiliaries = fit_auxiliaries(config, rows, forbidden=_giveaways(config, derivations))
    examples["train"] = with_labels_of(examples["train"], auxiliaries, rows)
    counts = {name: labels.counts for name, (_, labels) in encoded.items()}
    words_B = inputs.num_words(examples["train"].inputs)
    if words_B is not None and is_sample:
        refuse_words(fitted.tasks, "a table on disk")
    words_a_row = 1.0 if words_B is None else max(float(words_B.float().mean()), 1.0)
    if not is_sample:
        config = with_budget(config, train.num_rows, words_a_row=words_a_row)
    lengths = Lengths() if is_sample else lengths_of_rows(config, inputs, examples["train"])
    notes = _reading_notes(schema, inputs, split.tables())
    return Prepared(
        config,
        schema,
        inputs,
        fitted,
        examples["train"],
        examples.get("valid"),
        examples.get("test"),
        kind_reasons,
        counts["train"],
        tuple(leaks),
        split_in_words(config, named=named),
        (
            *(() if is_sample else growth),
            *bad_rows,
            *notes,
            *((lengths.note,) if lengths.note else ()),
        ),
        {name: unknown_classes(each) for name, each in counts.items()},
        auxiliaries,
        data_sets,
        lengths.by_B,
        valid_is_random=_valid_is_random(config, named),
        seen=chain(config, seen.record),
        growth=growth,
    )


def _valid_is_random(config: FitConfig, named: Collection[str]) -> bool:
    is_own = config.valid is not None or "valid" in named
    return not is_own and not is_by_time(config) and config.split_by is None


def _giveaways(config: FitConfig, derivations: Sequence[Derivation]) -> frozenset[str]:
    """Label columns, and what was derived from them or into them."""
    columns = {task.column for task in config.tasks if isinstance(task, TaskConfig)}
    labels = derived_from(derivations, frozenset(columns))
    return labels | made_from(derivations, labels).keys()


def _read_and_split(
    config: FitConfig,
    source: TableSource | None,
    derivations: Sequence[Derivation],
    named: Mapping[str, TableSource],
) -> tuple[FitConfig, Parts]:
    """One table, with its tasks resolved, in parts."""
    if source is None:
        raise UserError("there is no table: name one, such as `polytask fit log.parquet`")
    if config.data:
        raise UserError("there is a table beside data sets: give it a name too, --data=NAME=TABLE")
    whole = apply_derivations(read_table(source, options=growing_options(config)), derivations)
    whole = matching(whole, config.where)
    config = with_dates(config, whole)
    config = resolve_tasks(with_auxiliary_tasks(config, whole.column_names), whole)
    check_columns(config, whole)
    return config, split_table(config, whole, derivations=derivations, named=named)


def _reading_notes(
    schema: Schema, inputs: FittedInputs, parts: Mapping[str, pa.Table]
) -> tuple[str, ...]:
    """What was changed while columns were read, what was guessed of them, and what inputs say.

    A validation or test table of its own has notes of its own.
    """
    of_parts = [
        f"{part}: {note}"
        for part, table in parts.items()
        for note in notes_of(table)
        if note not in schema.notes
    ]
    of_inputs = [f"{part}: {note}" for part, table in parts.items() for note in inputs.notes(table)]
    return (*schema.notes, *of_parts, *of_inputs, *schema.inferred_summary())


def unknown_classes(counts: Sequence[LabelCount]) -> dict[str, str]:
    """A note for each task some of whose labels are of classes that the training rows lack."""
    return {
        count.name: f"{count.unseen:,} rows: classes unknown to training, such as "
        f"{count.unseen_example}"
        for count in counts
        if count.unseen
    }
