"""A study, as far as it has come -> study.json: rows, trials, the front of static weights, what to use."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from polytask.fitting.processes.environment import environment
from polytask.records.study import (
    Advice,
    StudyRecord,
    StudyRow,
    StudyTask,
)
from polytask.study.cells import cells_of, delta_of, mean_pairs, ranks_of
from polytask.study.choosing import Choice, chosen_row, winner_files
from polytask.study.conducting import Conductor
from polytask.study.configurations import SINGLE, TREES, Configuration
from polytask.study.folder import by_part
from polytask.study.front import front_of
from polytask.study.outcomes import Outcomes
from polytask.study.remarks import what_was_not_done

_MOST_OF_TIME = 0.05


@dataclass(slots=True, eq=False)
class StudySoFar:
    """What is known so far; figures of final trainings are taken anew when one more seed is complete."""

    conductor: Conductor
    outcomes: Outcomes
    started: float
    command: str
    notes: tuple[str, ...] = ()
    _finished: dict[str, StudyRow] = field(default_factory=dict)
    _seeds: tuple[int, ...] = ()
    _choice: Choice | None = None
    _next_measure: float = 0.0

    @classmethod
    def of(cls, conductor: Conductor, *, command: str, notes: tuple[str, ...]) -> "StudySoFar":
        rows: dict[str, list[Configuration]] = {}
        for each in conductor.agenda.configurations:
            rows.setdefault(each.row, []).append(each)
        made = cls(conductor, Outcomes(conductor.prepared, rows), time.monotonic(), command, notes)
        made.read_finals()
        return made

    def read_finals(self) -> None:
        """Add the final trainings whose files are there by now."""
        names = [task.name for task in self.conductor.prepared.tasks]
        for each in self.conductor.agenda.configurations:
            for seed in range(1, self.conductor.agenda.config.seeds + 1):
                if (each.name, seed) in self.outcomes.records:
                    continue
                found = self.conductor.folder.final(each.name, seed)
                if found is not None:
                    self.outcomes.add(each, found[0], by_part(found[1], names))

    def record(self, *, is_finished: bool = False) -> StudyRecord:
        """All of it."""
        conductor, prepared = self.conductor, self.conductor.prepared
        self._measure(is_last=is_finished)
        rows = [self._row(row, each) for row, each in self.outcomes.rows.items()]
        lines = conductor.agenda.all_lines
        parts = {"train": prepared.train, "valid": prepared.valid, "test": prepared.test}
        return StudyRecord(
            name=_name(conductor.agenda.config.fit.table),
            tasks=tuple(_tasks(self.outcomes)),
            rows=tuple(rows),
            trials=tuple(lines),
            front=tuple(front_of(self.outcomes.rows, conductor.agenda)),
            front_tasks=tuple(task.name for task in self.outcomes.goals),
            seeds=self._seeds,
            num_seeds=conductor.agenda.config.seeds,
            num_trials=conductor.agenda.total_trials,
            rank_set=tuple(self._finished),
            advice=self._advice(),
            num_rows={name: len(part) for name, part in parts.items() if part is not None},
            split=prepared.split,
            notes=(*self.notes, *what_was_not_done(conductor, self._finished, self._seeds)),
            is_finished=is_finished,
            seconds=time.monotonic() - self.started,
            budget=conductor.agenda.config.budget,
            command=self.command,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=environment(conductor.processes.slots),
            running=dict(conductor.running),
        )

    def winner(self) -> dict[str, str]:
        """The files of `polytask fit` for what is recommended, or for the best networks where trees are."""
        row = self._winning_row()
        if row is None:
            return {}
        best = {
            name: line
            for name in (each.name for each in self.outcomes.rows[row])
            if (line := self.conductor.agenda.best(name)) is not None
        }
        return winner_files(
            self.outcomes.rows[row], best, self.conductor.agenda.config.fit, self.conductor.prepared
        )

    def _winning_row(self) -> str | None:
        if self._choice is None:
            return None
        if self._choice.row != TREES:
            return self._choice.row
        networks = [row for row in self._finished if row != TREES]
        if not networks:
            return None
        single = SINGLE if SINGLE in networks else None
        return chosen_row(self.outcomes, networks, self._seeds, single).row

    def _measure(self, *, is_last: bool) -> None:
        """Cells and the choice, where a seed has become complete since the last time.

        No training begins meanwhile, so it is done again only when that takes little of the time.
        """
        rows, seeds = self.outcomes.common()
        if not seeds or (seeds == self._seeds and set(rows) == set(self._finished)):
            return
        started = time.monotonic()
        if not is_last and started < self._next_measure:
            return
        reference = self.conductor.agenda.reference
        equal = reference.row if reference is not None and reference.row in rows else None
        single = SINGLE if SINGLE in rows else None
        cells = cells_of(self.outcomes, rows, seeds, equal=equal, single=single)
        over_equal = mean_pairs(self.outcomes, rows, seeds, equal)
        over_single = mean_pairs(self.outcomes, rows, seeds, single)
        ranks = ranks_of(cells)
        self._seeds = seeds
        self._finished = {
            row: replace(
                self._with_cost(self._tuned(row, self.outcomes.rows[row])),
                cells=cells[row],
                mean_over_equal=over_equal.get(row),
                mean_over_single=over_single.get(row),
                delta_m=delta_of(self.outcomes, row, single, seeds),
                mean_rank=ranks[row],
            )
            for row in rows
        }
        self._choice = chosen_row(self.outcomes, rows, seeds, single)
        ended = time.monotonic()
        self._next_measure = ended + (ended - started) / _MOST_OF_TIME

    def _with_cost(self, row: StudyRow) -> StudyRow:
        """Of one seed: the models of a row together, one after another."""
        by_seed = [
            [self.outcomes.records[each.name, seed] for each in self.outcomes.rows[row.name]]
            for seed in self._seeds
        ]
        sums = [sum(record.seconds for record in models) for models in by_seed]
        first = by_seed[0]
        return replace(
            row,
            seconds=float(np.mean(sums)),
            memory=max(record.memory for models in by_seed for record in models),
            passes=sum(record.passes for record in first),
            parameters=sum(record.parameters for record in first),
        )

    def _row(self, row: str, models: Sequence[Configuration]) -> StudyRow:
        if row not in self._finished:
            return self._tuned(row, models)
        return self._finished[row]

    def _tuned(self, row: str, models: Sequence[Configuration]) -> StudyRow:
        """What the trials say of it."""
        first = models[0]
        lines = [line for each in models for line in self.conductor.agenda.lines.get(each.name, ())]
        best = {each.name: self.conductor.agenda.best(each.name) for each in models}
        scores = [line.score for line in best.values() if line is not None]
        known = [score for score in scores if score is not None]
        names = [task.name for task in self.conductor.prepared.tasks]
        chosen: dict[str, float | str] = {}
        for each in models:
            line = best[each.name]
            prefix = f"{names[each.positions[0]]}: " if len(models) > 1 else ""
            if line is not None:
                chosen |= {f"{prefix}{key}": value for key, value in line.chosen.items()}
        return StudyRow(
            name=row,
            title=row,
            group=first.group,
            trunk=first.trunk_name,
            balancer="" if first.group in ("single", "trees") else first.balancer_name,
            auxiliary=first.auxiliary.names,
            trials=sum(line.state != "failed" for line in lines),
            pruned=sum(line.state == "pruned" for line in lines),
            failed=sum(line.state == "failed" for line in lines),
            score=float(np.mean(known)) if len(known) == len(models) else None,
            chosen=chosen,
        )

    def _advice(self) -> Advice | None:
        if self._choice is None:
            return None
        files = sorted(self.winner())
        return Advice(
            row=self._choice.row,
            best=self._choice.best,
            ties=self._choice.ties,
            configs=tuple(files),
        )


def command_of(study: Path) -> str:
    """What repeats it."""
    return shlex.join(["polytask", "study", str(study), "--out", f"{study.parent}-again"])


def _name(table: Path | None) -> str:
    return "the table" if table is None else Path(table).name


def _tasks(outcomes: Outcomes) -> list[StudyTask]:
    found = []
    for task in outcomes.goals:
        definition = outcomes.metric(task)
        found.append(
            StudyTask(
                task.name,
                task.kind.name,
                definition.name,
                definition.title,
                definition.direction,
                definition.meaning,
            )
        )
    return found
