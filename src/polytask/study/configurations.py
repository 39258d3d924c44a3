"""What a study compares: trunks x balancers x auxiliary sets, and the rows that every study has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from polytask.auxiliary import AUXILIARIES
from polytask.config.checking import name_and_options
from polytask.config.spellings import Options
from polytask.config.study import StudyConfig
from polytask.errors import UserError
from polytask.fitting.preparing.prepare import Prepared
from polytask.records.study import Group

SINGLE, TREES = "separate models", "gradient-boosted trees"
_MANDATORY_RULES = ("equal", "static", "rlw")

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class AuxiliarySet:
    """Extra losses and auxiliary tasks that are trained on together, by their names."""

    specs: tuple[Options, ...]
    positions: tuple[int, ...]
    losses: tuple[str, ...]
    place: KeyPath = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(_label(spec) for spec in self.specs)


@dataclass(frozen=True, slots=True)
class Configuration:
    """One thing that is tuned: a model for some tasks, or trees for one.

    A `row` of the table is made of one configuration, or of one for each task. `positions` are those of
    the tasks in the model; `places` are the keys of the study that asked for it.
    """

    name: str
    row: str
    group: Group
    trunk: Options
    balancer: Options
    positions: tuple[int, ...]
    auxiliary: AuxiliarySet
    places: tuple[KeyPath, ...] = ()

    @property
    def num_losses(self) -> int:
        return len(self.positions) + len(self.auxiliary.losses)

    @property
    def trunk_name(self) -> str:
        return name_and_options(self.trunk, "trunk")[0]

    @property
    def balancer_name(self) -> str:
        return name_and_options(self.balancer, "balancer")[0]


def all_specs(config: StudyConfig) -> tuple[Options, ...]:
    """Every extra loss and auxiliary task of any set, once: what the table is read for."""
    found: list[Options] = []
    for each in config.auxiliary:
        found += [spec for spec in each if spec not in found]
    return tuple(found)


def auxiliary_sets(config: StudyConfig, prepared: Prepared) -> list[AuxiliarySet]:
    """The sets with their tasks' positions."""
    places = {task.name: position for position, task in enumerate(prepared.tasks)}
    found = []
    for number, specs in enumerate(config.auxiliary):
        names = [_name(spec) for spec in specs]
        positions = tuple(places[name] for name in names if name in places)
        losses = tuple(name for name in names if name in AUXILIARIES)
        found.append(AuxiliarySet(tuple(specs), positions, losses, ("auxiliary", number)))
    return found


def configurations(
    config: StudyConfig, prepared: Prepared, *, trees: Sequence[int]
) -> list[Configuration]:
    """All that is tuned; the first with two losses or more is the equal weighting that others are compared to.

    `trees` are the positions of the goals that trees can be grown for.
    """
    goals = tuple(p for p, task in enumerate(prepared.tasks) if not task.auxiliary)
    found = [*_shared(config, goals, auxiliary_sets(config, prepared))]
    if "single" in config.leave_out or any(each.num_losses == 1 for each in found):
        found = [each for each in found if each.num_losses > 1 or "single" in config.leave_out]
    found += [*_apart(config, prepared, goals, trees)]
    names = [each.name for each in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"two configurations are named {twice!r}: give each once")
    return found


def reference(found: Sequence[Configuration]) -> Configuration | None:
    """Equal weights, on the first trunk with the first set that has something to weigh."""
    return next((each for each in found if each.group == "equal" and each.num_losses > 1), None)


def _shared(
    config: StudyConfig, goals: tuple[int, ...], sets: Sequence[AuxiliarySet]
) -> Iterator[Configuration]:
    """Models for all goals: equal weights everywhere, the search and random weights once."""
    rules = [rule for rule in config.balancers if _name(rule) not in _MANDATORY_RULES]
    named = {_name(rule): number for number, rule in enumerate(config.balancers)}
    weighed = next((s for s in sets if len(goals) + len(s.positions) + len(s.losses) > 1), None)
    for t, trunk in enumerate(config.all_trunks):
        for each in sets:
            is_first = t == 0 and each is weighed
            changes = (t > 0) + (each is not weighed)
            if config.design == "star" and changes > 1:
                continue
            base = Configuration(
                "",
                "",
                "equal",
                trunk,
                "equal",
                (*goals, *(p for p in each.positions if p not in goals)),
                each,
                (("trunks", t), each.place),
            )
            yield _named(config, base)
            if base.num_losses < 2:
                continue
            for mandatory in ("static", "rlw"):
                wanted = mandatory in named and (config.design == "product" or is_first)
                if (is_first and mandatory not in config.leave_out) or (
                    wanted and mandatory == "rlw"
                ):
                    yield _named(config, replace(base, group=mandatory, balancer=mandatory))
            if config.design == "star" and not is_first:
                continue
            for rule in rules:
                place = ("balancers", named[_name(rule)])
                yield _named(
                    config,
                    replace(base, group="method", balancer=rule, places=(*base.places, place)),
                )


def _apart(
    config: StudyConfig, prepared: Prepared, goals: Sequence[int], trees: Sequence[int]
) -> Iterator[Configuration]:
    """A model a goal, each tuned for itself: networks, and trees."""
    nothing = AuxiliarySet((), (), ())
    for group, row in (("single", SINGLE), ("trees", TREES)):
        for position in goals:
            name = f"{row}: {prepared.tasks[position].name}"
            trunk = config.all_trunks[0] if group == "single" else "trees"
            made = Configuration(name, row, "single", trunk, "equal", (position,), nothing)
            if group in config.leave_out:
                continue
            if group == "single":
                yield made
            elif set(goals) <= set(trees):
                yield replace(made, group="trees")


def _named(config: StudyConfig, base: Configuration) -> Configuration:
    """Only what differs within the study is in a name, the rule always."""
    words = {"equal": "equal weights", "static": "searched static weights", "rlw": "random weights"}
    rule = words.get(_name(base.balancer), _label(base.balancer))
    title = f"{_label(base.trunk)}, {rule}" if len(config.all_trunks) > 1 else rule
    if len(config.auxiliary) > 1:
        title += f", with {' and '.join(base.auxiliary.names) or 'nothing else'}"
    return replace(base, name=title, row=title)


def _name(spec: Options) -> str:
    """A rule's, a loss's or a task's own name."""
    if isinstance(spec, Mapping):
        return name_and_options(spec, "a configuration")[0]
    return spec.partition(":")[0].partition("=")[0].strip()


def _label(spec: Options) -> str:
    if isinstance(spec, str):
        return _name(spec)
    name, options = name_and_options(spec, "a configuration")
    return f"{name} ({', '.join(f'{key} {_short(value)}' for key, value in options.items())})"


def _short(value: object) -> str:
    return _label(value) if isinstance(value, Mapping) else str(value)
