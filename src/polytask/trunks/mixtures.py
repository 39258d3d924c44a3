"""Trunks that mix experts which all tasks share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from torch import Tensor

from polytask.trunks.blocks import Experts, Gate, first_weights, mix
from polytask.trunks.ownership import PerTask
from polytask.trunks.registry import register_trunk
from polytask.trunks.trunk import ExpertOutputs, Explanation, GateWeights, Trunk, require_counts


class _Mixture(Trunk, ABC):
    """Experts that all tasks share, one for all or one a task of gates over them."""

    reads_x_by_products = True

    def __init__(
        self,
        in_features: int,
        num_tasks: int,
        *,
        num_experts: int = 8,
        expert_hidden: Sequence[int] = (64, 32),
        gate_bias: bool = False,
        temperature: float = 1.0,
        gate_dropout: float = 0.0,
        top_k: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_counts(in_features=in_features, num_tasks=num_tasks, num_experts=num_experts)
        self.num_tasks = num_tasks
        self.experts = Experts(in_features, num_experts, hidden=expert_hidden, dropout=dropout)
        self.out_features = self.experts.out_features
        self.add_gates(
            partial(
                Gate,
                in_features,
                num_experts,
                bias=gate_bias,
                temperature=temperature,
                dropout=gate_dropout,
                top_k=top_k,
            )
        )

    @abstractmethod
    def add_gates(self, make: Callable[[], Gate]) -> None:
        """Give the trunk its gates."""

    @abstractmethod
    def gates_by_task(self) -> list[tuple[int | None, Gate]]:
        """The gates, each with the task that it mixes for, None for all."""

    def input_weights(self) -> Iterable[Tensor]:
        return first_weights([self.experts, *(gate for _, gate in self.gates_by_task())])

    def explain(self, x_BD: Tensor) -> Explanation:
        names = expert_names(self.experts.num_experts)
        gates = [GateWeights(task, names, gate(x_BD)) for task, gate in self.gates_by_task()]
        return Explanation(tuple(gates), experts=(ExpertOutputs(names, self.experts(x_BD)),))


@register_trunk("omoe")
class OMoE(_Mixture):
    """Ma et al., KDD 2018, section 5.1: f(x) = sum_i softmax(W_g x)_i f_i(x), one gate for all tasks.

    The gate's options are those of `MMoE`. Seam: the mixture, which all tasks read.

    Paper: https://doi.org/10.1145/3219819.3220007

    **Shape** (B, in_features) -> T of (B, expert_hidden[-1]), all the same.

    >>> import torch
    >>> trunk = OMoE(5, 2, num_experts=4)
    >>> first, second = trunk(torch.randn(7, 5))
    >>> first is second, tuple(first.shape)
    (True, (7, 32))
    """

    def add_gates(self, make: Callable[[], Gate]) -> None:
        self.gate = make()

    def gates_by_task(self) -> list[tuple[int | None, Gate]]:
        return [(None, self.gate)]

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (mix(self.gate(x_BD), self.experts(x_BD)),)

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        (mixed_BH,) = seam
        return [mixed_BH] * self.num_tasks


@register_trunk("mmoe")
class MMoE(_Mixture):
    """Ma et al., KDD 2018, eqs. 5-7: f^k(x) = sum_i softmax(W_gk x)_i f_i(x).

    One linear gate a task, without a bias, over experts that all tasks share. DIFF, none of them
    the default: a gate's bias, temperature, dropout of experts and top-k (see `Routing`).
    Seam: x (the gates read it) and the experts' outputs.

    Paper: https://doi.org/10.1145/3219819.3220007

    **Shape** (B, in_features) -> T of (B, expert_hidden[-1]).

    >>> import torch
    >>> trunk = MMoE(5, 2, num_experts=4, expert_hidden=(16, 8))
    >>> [tuple(output.shape) for output in trunk(torch.randn(7, 5))]
    [(7, 8), (7, 8)]
    """

    def add_gates(self, make: Callable[[], Gate]) -> None:
        self.gates = PerTask(make() for _ in range(self.num_tasks))

    def gates_by_task(self) -> list[tuple[int | None, Gate]]:
        return [(t, gate) for t, gate in enumerate(self.gates) if isinstance(gate, Gate)]

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (x_BD, self.experts(x_BD))

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        x_BD, experts_BEH = seam
        return [mix(gate(x_BD), experts_BEH) for gate in self.gates]


def expert_names(num_experts: int) -> tuple[str, ...]:
    """expert 1, expert 2, ..."""
    return tuple(f"expert {e}" for e in range(1, num_experts + 1))
