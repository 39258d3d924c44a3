"""Trunks that mix experts which all tasks share."""

from collections.abc import Iterable, Sequence

from torch import Tensor

from polytask.trunks.blocks import Experts, Gate, first_weights, mix
from polytask.trunks.ownership import PerTask
from polytask.trunks.registry import register_trunk
from polytask.trunks.trunk import ExpertOutputs, Explanation, GateWeights, Trunk, require_counts


@register_trunk("omoe")
class OMoE(Trunk):
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
        self.gate = Gate(
            in_features,
            num_experts,
            bias=gate_bias,
            temperature=temperature,
            dropout=gate_dropout,
            top_k=top_k,
        )

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (mix(self.gate(x_BD), self.experts(x_BD)),)

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        (mixed_BH,) = seam
        return [mixed_BH] * self.num_tasks

    def input_weights(self) -> Iterable[Tensor]:
        return first_weights([self.experts, self.gate])

    def explain(self, x_BD: Tensor) -> Explanation:
        names = expert_names(self.experts.num_experts)
        return Explanation(
            gates=(GateWeights(None, names, self.gate(x_BD)),),
            experts=(ExpertOutputs(names, self.experts(x_BD)),),
        )


@register_trunk("mmoe")
class MMoE(Trunk):
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
        self.gates = PerTask(
            Gate(
                in_features,
                num_experts,
                bias=gate_bias,
                temperature=temperature,
                dropout=gate_dropout,
                top_k=top_k,
            )
            for _ in range(num_tasks)
        )

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (x_BD, self.experts(x_BD))

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        x_BD, experts_BEH = seam
        return [mix(gate(x_BD), experts_BEH) for gate in self.gates]

    def input_weights(self) -> Iterable[Tensor]:
        return first_weights([self.experts, *self.gates])

    def explain(self, x_BD: Tensor) -> Explanation:
        names = expert_names(self.experts.num_experts)
        return Explanation(
            gates=tuple(GateWeights(t, names, gate(x_BD)) for t, gate in enumerate(self.gates)),
            experts=(ExpertOutputs(names, self.experts(x_BD)),),
        )


def expert_names(num_experts: int) -> tuple[str, ...]:
    """expert 1, expert 2, ...

    >>> expert_names(2)
    ('expert 1', 'expert 2')
    """
    return tuple(f"expert {e}" for e in range(1, num_experts + 1))
