"""A mixture of experts whose gates attend to the experts by queries and keys."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.products import Linear
from polytask.trunks.blocks import Experts, Routing, first_weights
from polytask.trunks.mixtures import expert_names
from polytask.trunks.ownership import PerTask, PerTaskParameters
from polytask.trunks.registry import register_trunk
from polytask.trunks.trunk import ExpertOutputs, Explanation, GateWeights, Trunk, require_counts


@register_trunk("attention_moe")
class AttentionMoE(Trunk):
    """MMoE (Ma et al., KDD 2018) with gates softmax_i(q_k(x) . key_i / temperature).

    `keys`: "static" are learned, one an expert for all tasks; "dynamic" are W_K f_i(x), read off
    the expert's output. `query` of task k: "linear" W_k x; "token" t_k, whatever x is; "shared"
    W (x + t_k), one W for all tasks. Static keys K and linear queries are MMoE with the gates
    K W_k / temperature, of rank `key_dim` at most.

    Each head has queries and keys of `key_dim` numbers and mixes its own slice of the experts'
    outputs. The temperature is sqrt(key_dim) by default; `gate_dropout` and `top_k` are those of
    `Routing`, for each head.

    Seam: the experts' outputs, the keys, and x for linear queries, W x and W for shared ones.

    Paper: https://doi.org/10.1145/3219819.3220007 (the mixture),
    https://arxiv.org/abs/1706.03762 (queries, keys and heads)

    **Shape** (B, in_features) -> T of (B, expert_hidden[-1]).

    >>> import torch
    >>> trunk = AttentionMoE(5, 2, num_experts=3, keys="dynamic", num_heads=4)
    >>> [tuple(output.shape) for output in trunk(torch.randn(7, 5))]
    [(7, 32), (7, 32)]
    """

    def __init__(
        self,
        in_features: int,
        num_tasks: int,
        *,
        num_experts: int = 8,
        expert_hidden: Sequence[int] = (64, 32),
        keys: Literal["static", "dynamic"] = "static",
        query: Literal["linear", "token", "shared"] = "linear",
        num_heads: int = 1,
        key_dim: int = 16,
        temperature: float | None = None,
        gate_dropout: float = 0.0,
        top_k: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_counts(in_features=in_features, num_tasks=num_tasks, num_experts=num_experts)
        require_counts(num_heads=num_heads, key_dim=key_dim)
        self.num_tasks = num_tasks
        self.num_heads = num_heads
        self.experts = Experts(in_features, num_experts, hidden=expert_hidden, dropout=dropout)
        self.out_features = self.experts.out_features
        if self.out_features % num_heads:
            raise ValueError(
                "each head mixes a slice of the experts' outputs, so their width must be a "
                f"multiple of num_heads, but {expert_hidden=} and {num_heads=}"
            )
        if keys not in ("static", "dynamic"):
            raise ValueError(f'keys must be "static" or "dynamic", but {keys=}')
        if query not in _QUERIES:
            raise ValueError(f"query must be one of {', '.join(_QUERIES)}, but {query=}")
        width = num_heads * key_dim
        self.keys: nn.Module
        if keys == "static":
            self.keys = _StaticKeys(num_experts, width)
        else:
            self.keys = Linear(self.out_features, width, bias=False)
        self.queries = _QUERIES[query](in_features, num_tasks, width)
        self.routing = Routing(
            num_experts,
            temperature=math.sqrt(key_dim) if temperature is None else temperature,
            dropout=gate_dropout,
            top_k=top_k,
        )

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        experts_BEH = self.experts(x_BD)
        return (experts_BEH, self.keys(experts_BEH), *self.queries.share(x_BD))

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        experts_BEH = seam[0]
        return [self._mix(weights_BAE, experts_BEH) for weights_BAE in self._weights(seam)]

    def input_weights(self) -> Iterable[Tensor]:
        return [*first_weights([self.experts]), *self.queries.input_weights()]

    def explain(self, x_BD: Tensor) -> Explanation:
        """With several heads: the mean of their weights, each head's slice being as wide."""
        names = expert_names(self.experts.num_experts)
        seam = self.share(x_BD)
        gates = (
            GateWeights(task, names, weights_BAE.mean(dim=1))
            for task, weights_BAE in enumerate(self._weights(seam))
        )
        return Explanation(gates=tuple(gates), experts=(ExpertOutputs(names, seam[0]),))

    def _weights(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        """T of (B, A, E): one mixture for each of the A heads."""
        experts_BEH, keys, *rest = seam
        heads = (self.num_heads, -1)
        keys_BEAK = torch.unflatten(keys, -1, heads)
        weights = []
        for query_BK in self.queries.split(rest):
            # Queries and keys that no row changes have B = 1.
            query_BAK = torch.unflatten(query_BK, -1, heads)
            logits_BAE = torch.einsum("bak,beak->bae", query_BAK, keys_BEAK)
            weights.append(self.routing(logits_BAE.expand(experts_BEH.shape[0], -1, -1)))
        return weights

    def _mix(self, weights_BAE: Tensor, experts_BEH: Tensor) -> Tensor:
        slices_BEAH = torch.unflatten(experts_BEH, -1, (self.num_heads, -1))
        weights_BEA = weights_BAE.to(experts_BEH.dtype).transpose(1, 2)
        return (weights_BEA.unsqueeze(-1) * slices_BEAH).sum(dim=1).flatten(1)


class _StaticKeys(nn.Module):
    """One learned key an expert, whatever it returns: (B, E, H) -> (1, E, K)."""

    def __init__(self, num_experts: int, width: int) -> None:
        super().__init__()
        # With these, logits start as spread as those of a linear gate.
        self.keys_EK = nn.Parameter(torch.randn(num_experts, width))

    def forward(self, experts_BEH: Tensor) -> Tensor:
        return self.keys_EK.unsqueeze(0)


class _LinearQueries(nn.Module):
    """q_k = W_k x. Share and split as in a trunk: T queries of (B, K), or of (1, K) if no row matters."""

    def __init__(self, in_features: int, num_tasks: int, width: int) -> None:
        super().__init__()
        self.linears = PerTask(Linear(in_features, width, bias=False) for _ in range(num_tasks))

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (x_BD,)

    def split(self, seam: Sequence[Tensor]) -> list[Tensor]:
        (x_BD,) = seam
        return [linear(x_BD) for linear in self.linears]

    def input_weights(self) -> Iterable[Tensor]:
        return self.linears.parameters()


class _TokenQueries(nn.Module):
    """q_k = t_k."""

    def __init__(self, in_features: int, num_tasks: int, width: int) -> None:
        super().__init__()
        self.tokens = PerTaskParameters(torch.randn(width) for _ in range(num_tasks))

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return ()

    def split(self, seam: Sequence[Tensor]) -> list[Tensor]:
        return [token_K.unsqueeze(0) for token_K in self.tokens]

    def input_weights(self) -> Iterable[Tensor]:
        return ()


class _SharedQueries(nn.Module):
    """q_k = W (x + t_k). W meets t_k after the split, so W itself is part of the seam."""

    def __init__(self, in_features: int, num_tasks: int, width: int) -> None:
        super().__init__()
        self.linear = Linear(in_features, width, bias=False)
        self.tokens = PerTaskParameters(torch.randn(in_features) for _ in range(num_tasks))

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (self.linear(x_BD), self.linear.weight)

    def split(self, seam: Sequence[Tensor]) -> list[Tensor]:
        query_BK, weight_KD = seam
        return [query_BK + functional.linear(token_D, weight_KD) for token_D in self.tokens]

    def input_weights(self) -> Iterable[Tensor]:
        """W and the tokens, which are added to x."""
        return self.parameters()


_QUERIES: dict[str, type[_LinearQueries] | type[_TokenQueries] | type[_SharedQueries]] = {
    "linear": _LinearQueries,
    "token": _TokenQueries,
    "shared": _SharedQueries,
}
