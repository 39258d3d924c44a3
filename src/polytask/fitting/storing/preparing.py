"""A table larger than memory and a configuration -> rows on disk, in as many passes as it needs."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from polytask.config import FitConfig
from polytask.data.derive import parse_derivation
from polytask.data.inference import ONE_A_ROW
from polytask.data.options import ReadOptions
from polytask.data.random_cuts import TEST
from polytask.data.readers import TableSource, open_scan, read_table
from polytask.data.scans import Scan
from polytask.errors import UserError, flag
from polytask.fitting.comparing.spool import PART_ROWS
from polytask.fitting.preparing.auxiliaries import with_auxiliary_tasks
from polytask.fitting.preparing.columns import check_columns
from polytask.fitting.preparing.encoding import read_options
from polytask.fitting.preparing.growing import Grown, check_growth, earlier_state, growing_options
from polytask.fitting.preparing.prepare import (
    Prepared,
    prepare_parts,
    unknown_classes,
)
from polytask.fitting.preparing.sample import with_rows_budget
from polytask.fitting.preparing.splitting import Parts
from polytask.fitting.preparing.tasks import resolve_tasks
from polytask.fitting.preparing.where import matching_scan
from polytask.fitting.storing.distinct import repeating_columns
from polytask.fitting.storing.encoding import MOST_VALID_ROWS, Counts, RowEncoder, write_rows
from polytask.fitting.storing.parts import PART_NAMES, OnePart, PartRule, part_rule, require_rows
from polytask.fitting.storing.pieces import PieceReader
from polytask.fitting.storing.sampling import SAMPLE_ROWS, read_sample, write_sample
from polytask.fitting.storing.store import (
    also_named,
    cache_folder,
    name_of,
    opened_or_built,
    require_space,
    unchanged,
)
from polytask.fitting.storing.vocabularies import OfAllRows, count_all
from polytask.inputs import FittedInputs
from polytask.records import SeenRecord
from polytask.streams import Batch, StoredRows
from polytask.streams.storing import bytes_on_disk

_INPUTS, _COUNTS, _TABLE = "inputs.json", "counts.json", "table.json"
_counts_adapter: TypeAdapter[Counts] = TypeAdapter(Counts)


@dataclass(frozen=True, slots=True)
class _TableFacts:
    """What a store keeps of its table beside the rows: `ids` are columns that a sample took for one value
    a row, `growth` says how the inputs of an earlier run grew."""

    num_rows: int
    ids: tuple[str, ...]
    growth: tuple[str, ...]
    seen: SeenRecord


_facts_adapter: TypeAdapter[_TableFacts] = TypeAdapter(_TableFacts)


def prepare_on_disk(
    config: FitConfig,
    scan: Scan,
    *,
    named: Mapping[str, TableSource],
    sample_rows: int = SAMPLE_ROWS,
) -> Prepared:
    """The same as `prepare`, with the training rows on disk.

    Columns, kinds, scales and leaks are judged by a random sample of the rows; vocabularies and counts
    are of all of them. A table of no more rows than the sample is prepared as it is in memory.

    Raises UserError for all that `prepare` raises, and for options that need all rows in memory.
    """
    _refuse_what_needs_memory(config)
    check_growth(config)
    building = _Building(config, scan, named, sample_rows)
    folder = opened_or_built(building.folder, building.build)
    prepared = building.opened(folder)
    _release()
    if building.states is not None:
        also_named(folder, name_of(prepared.config, building.states))
    return prepared


@dataclass
class _Building:
    """One table on its way to its store; what was fitted while it was built is kept."""

    config: FitConfig
    scan: Scan
    named: Mapping[str, TableSource]
    sample_rows: int
    num_rows: int = 0
    ids: tuple[str, ...] = ()

    @cached_property
    def reader(self) -> PieceReader:
        """Of all rows."""
        derivations = [parse_derivation(text) for text in self.config.derive]
        return PieceReader(self.scan, derivations, growing_options(self.config))

    def _matching(self, scan: Scan) -> PieceReader:
        """Of the rows that --where leaves."""
        every = replace(self.reader, scan=scan)
        where = matching_scan(scan, self.config.where, every.derivations, every.options)
        return replace(every, scan=where)

    @cached_property
    def given(self) -> dict[str, Scan]:
        """Validation and test tables of their own."""
        found = {part: self.named.get(part, getattr(self.config, part)) for part in PART_NAMES[1:]}
        return {
            part: _scan_of(source, self.reader.options)
            for part, source in found.items()
            if source is not None
        }

    @cached_property
    def folder(self) -> Path:
        """Where the store is, or will be; a table in memory has one that nobody finds again."""
        if self.states is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="polytask-")
            return Path(self._temporary.name) / "store"
        return cache_folder(self.config.cache) / name_of(self.config, self.states)

    @cached_property
    def states(self) -> list[list[str]] | None:
        """What the files are like now; None where a table is in memory."""
        found = [[*scan.fingerprint()] for scan in (self.scan, *self.given.values())]
        if not all(found):
            return None
        return [[f"a sample of {self.sample_rows}", earlier_state(self.config)], *found]

    def build(self, part: Path) -> None:
        """Draw the sample, fit on it, count values, encode all rows."""
        with unchanged(self.scan.fingerprint, "the table"):
            matching, seed = self._matching(self.scan), self.config.split_seed
            self.num_rows = matching.scan.num_rows
            rule = part_rule(self.config, matching, given=self.given)
            write_sample(part, matching, rule, num_rows=self.sample_rows, seed=seed)
            fitted = self.fitted = self._fitted_on_all(part, matching, rule)
            _release()
            reader = replace(matching, options=read_options(fitted.config, fitted.inputs))
            (inputs, growth), seen, num_rows = self._of_all_rows(part, fitted, reader, rule)
            _release()
            facts = _TableFacts(self.num_rows, self.ids, growth, seen)
            encoder = RowEncoder(fitted.config, inputs, fitted.targets)
            walks = [rule.walk(reader, encoder.columns)]
            for name, scan in self.given.items():
                own = replace(self._matching(scan), options=reader.options)
                number = PART_NAMES.index(name)
                walks.append(OnePart(number).walk(own, encoder.columns))
                num_rows[number] = own.scan.num_rows
            require_space(part, bytes_on_disk(fitted.train) * int(num_rows[0] + num_rows[TEST]))
            counts = write_rows(part, encoder, walks, num_rows.tolist(), seed=seed)
            (part / _INPUTS).write_text(inputs.to_json())
            (part / _COUNTS).write_bytes(_counts_adapter.dump_json(counts))
            (part / _TABLE).write_bytes(_facts_adapter.dump_json(facts))

    def opened(self, folder: Path) -> Prepared:
        """What the store holds, as if it had just been read."""
        table = _facts_adapter.validate_json((folder / _TABLE).read_bytes())
        self.num_rows, self.ids = table.num_rows, table.ids
        fitted = self.__dict__.get("fitted") or self._fitted(folder)
        counts = _counts_adapter.validate_json((folder / _COUNTS).read_bytes())
        parts = {name: StoredRows.open(folder / name) for name in PART_NAMES if name in counts}
        # Rows are in random order: the first ones of the test are a draw of them.
        batches = {name: rows[0:PART_ROWS] for name, rows in parts.items() if name != "train"}
        stored, stored_test = parts["train"], parts.get("test")
        is_large = stored_test is not None and len(stored_test) > PART_ROWS
        return replace(
            fitted,
            config=with_rows_budget(fitted.config, self.config, len(stored)),
            inputs=FittedInputs.from_json((folder / _INPUTS).read_text()),
            valid=batches.get("valid"),
            test=batches.get("test"),
            label_counts=counts["train"],
            notes=(*table.growth, *fitted.notes, *self._notes(batches)),
            growth=table.growth,
            seen=(*fitted.seen[:-1], table.seen),
            stored_test=stored_test if is_large else None,
            unknown_classes={name: unknown_classes(each) for name, each in counts.items()},
            stored=stored,
            kept=getattr(self, "_temporary", None),
        )

    def _fitted_on_all(self, folder: Path, reader: PieceReader, rule: PartRule) -> Prepared:
        """`_fitted`, with columns as ids that have a value a row in the sample and fewer in the table."""
        fitted = self._fitted(folder)
        ignored = [c.name for c in fitted.schema.unused if c.reason.startswith(ONE_A_ROW)]
        if self.is_whole or not ignored:
            return fitted
        self.ids = repeating_columns(rule.walk(reader, ignored), ignored)
        return self._fitted(folder) if self.ids else fitted

    def _fitted(self, folder: Path) -> Prepared:
        """`prepare` on the training rows of the sample."""
        sample = read_sample(folder, self.reader)
        config = with_auxiliary_tasks(self.config, sample.table.column_names)
        config = config.model_copy(update={"categorical": (*config.categorical, *self.ids)})
        config = resolve_tasks(config, sample.table)
        check_columns(config, sample.table)
        chosen = np.flatnonzero(sample.part_B == 0)
        counts = np.bincount(sample.part_B, minlength=3)
        if self.is_whole or counts[0] == 0:
            require_rows(config, counts, given=self.given)
        split = Parts(sample.table.take(chosen), None, None, {"train": sample.rows[chosen]})
        fitted = prepare_parts(config, split, named=[*self.given], is_sample=True)
        of_words = [n for n, label in fitted.train.labels.items() if label.ndim > 1]
        if of_words:
            raise UserError(f"task {of_words[0]!r} has a label for each word: {_ADVICE}")
        extra = set(fitted.train.labels) - {task.name for task in fitted.tasks}
        if extra:
            raise UserError(
                f"{flag('auxiliary', min(extra))} takes labels from a table in memory: {_ADVICE}"
            )
        return fitted

    def _of_all_rows(
        self, folder: Path, fitted: Prepared, reader: PieceReader, rule: PartRule
    ) -> OfAllRows:
        sample = read_sample(folder, self.reader)
        if not self.is_whole:
            return count_all(fitted, sample.table, reader, rule, given=self.given)
        grown = Grown(fitted.inputs, fitted.growth)
        return OfAllRows(grown, fitted.seen[-1], np.bincount(sample.part_B, minlength=3))

    @property
    def is_whole(self) -> bool:
        """Whether the sample is the table."""
        return self.num_rows <= self.sample_rows

    def _notes(self, batches: Mapping[str, Batch]) -> list[str]:
        found = ["encoded rows are on disk (polytask cache list)"]
        found += [self.scan.note] if self.scan.note else []
        if not self.is_whole:
            found.append(
                f"kinds, scales and leaks are judged by {self.sample_rows:,} of {self.num_rows:,} "
                "rows, drawn at random; vocabularies and counts are of all"
            )
        if self.ids:
            found.append(
                f"{', '.join(self.ids)}: ids, with nearly one value a row in the sample and fewer in the table"
            )
        if "valid" in batches and len(batches["valid"]) >= 0.99 * MOST_VALID_ROWS:
            found.append(f"valid: {len(batches['valid']):,} rows, drawn at random")
        return found


_ADVICE = "leave it out, or take a table that memory holds (--on-disk=never)"


def _refuse_what_needs_memory(config: FitConfig) -> None:
    reasons = {
        "--history reads the past of all rows": bool(config.history),
        "--on-bad-row=drop reads all rows first": config.on_bad_row == "drop",
        "--batch-by=length sorts all rows": config.batch_by == "length",
        "an image's path is looked up from the table's folder": "image" in config.columns,
        "several data sets (--data) are joined in memory": bool(config.data),
    }
    for reason, is_so in reasons.items():
        if is_so:
            raise UserError(f"the table is read from disk, but {reason}: {_ADVICE}")


def _release() -> None:
    """Give back what Arrow holds of tables that are gone: hundreds of megabytes, which it keeps for the next ones."""
    pa.default_memory_pool().release_unused()


def _scan_of(source: TableSource, options: ReadOptions) -> Scan:
    scan = open_scan(source, options=options)
    return scan or Scan.of_table(read_table(source, options=options))
