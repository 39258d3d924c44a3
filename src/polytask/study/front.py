"""What the picture of static weights is drawn from."""

from collections.abc import Mapping, Sequence

from polytask.records.study import FrontPoint
from polytask.study.agenda import Agenda
from polytask.study.configurations import Configuration
from polytask.study.search import weights_from


def front_of(rows: Mapping[str, Sequence[Configuration]], agenda: Agenda) -> list[FrontPoint]:
    """Every training of static weights, and the best trial of each other row, by validation metrics."""
    found = []
    for row, models in rows.items():
        first = models[0]
        lines = [agenda.best(each.name) for each in models]
        if first.group == "static":
            lines = [*agenda.lines.get(first.name, ())]
            found += [
                FrontPoint(row, "static", tuple(weights_from(line.chosen)), line.valid)
                for line in lines
                if line is not None and line.state == "done"
            ]
        elif all(line is not None for line in lines):
            valid = {
                name: value
                for line in lines
                if line is not None
                for name, value in line.valid.items()
            }
            found.append(FrontPoint(row, first.group, (), valid))
    return found
