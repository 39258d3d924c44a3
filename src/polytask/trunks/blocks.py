"""The pieces that trunks and towers are made of: a perceptron, batched experts, a gate."""

import itertools
import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.products import Linear, linear, suits_passes
from polytask.trunks.passes import by_expert, experts_pass, mixed


def mlp(in_features: int, hidden: Sequence[int], *, dropout: float = 0.0) -> nn.Sequential:
    """Linear, ReLU and dropout for each width in `hidden`; empty is the identity.

    **Shape** (B, in_features) -> (B, hidden[-1]), or (B, in_features) where `hidden` is empty.

    >>> mlp(5, (8, 3))(torch.randn(7, 5)).shape
    torch.Size([7, 3])
    >>> x_BD = torch.randn(7, 5)
    >>> mlp(5, ())(x_BD) is x_BD
    True
    """
    layers: list[nn.Module] = []
    width = in_features
    for next_width in hidden:
        layers += [rectified(width, next_width), nn.ReLU()]
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
        width = next_width
    return nn.Sequential(*layers)


def first_weights(modules: Iterable[nn.Module]) -> list[Tensor]:
    """The first parameter of each module, which in a layer of ours is the weight that reads its input."""
    firsts = (next(module.parameters(), None) for module in modules)
    return [weight for weight in firsts if weight is not None]


def rectified(in_features: int, out_features: int) -> nn.Linear:
    """A linear layer that a ReLU follows: weights of variance 2 / in_features, so that it keeps the
    size of what passes, and biases 0 (He et al., ICCV 2015, eq. 10).

    Paper: https://arxiv.org/abs/1502.01852
    """
    layer = Linear(in_features, out_features)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


class Experts(nn.Module):
    """E perceptrons of one shape on one input, one product a layer for all of them.

    The experts of one owner only: batching over owners would connect every task to every
    parameter. Every expert is initialised like a perceptron of its own. `begin` and `layer` are the
    steps of the pass, for who mixes what the layers return.

    **Shape** (B, in_features) -> (B, E, hidden[-1]).

    >>> experts = Experts(5, 3, hidden=(16, 8))
    >>> experts(torch.randn(7, 5)).shape
    torch.Size([7, 3, 8])
    """

    def __init__(
        self,
        in_features: int,
        num_experts: int,
        *,
        hidden: Sequence[int] = (64, 32),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if num_experts < 1 or not hidden or min(hidden) < 1:
            raise ValueError(
                f"experts need a count and widths of at least 1, but {num_experts=}, {hidden=}"
            )
        self.num_experts, self.num_layers = num_experts, len(hidden)
        self.out_features = hidden[-1]
        self.dropout = dropout
        # The first layer reads the same x in every expert, so it is one matrix.
        self.first = rectified(in_features, num_experts * hidden[0])
        shapes = list(itertools.pairwise(hidden))
        self.weights = nn.ParameterList(
            nn.init.normal_(torch.empty(num_experts, i, o), std=math.sqrt(2 / i)) for i, o in shapes
        )
        self.biases = nn.ParameterList(torch.zeros(num_experts, 1, o) for _, o in shapes)

    def forward(self, x_BD: Tensor) -> Tensor:
        weights, biases = [*self.weights], [*self.biases]
        drops = self.dropout > 0 and self.training
        if not drops and weights and suits_passes(*weights, *biases):
            first_BH = linear(x_BD, self.first.weight, self.first.bias, is_rectified=True)
            return experts_pass(first_BH, weights, biases)
        hidden_EBH = self.begin(x_BD)
        for number in range(1, self.num_layers):
            hidden_EBH = self.layer(number, hidden_EBH)
        return hidden_EBH.transpose(0, 1)

    def begin(self, x_BD: Tensor) -> Tensor:
        """The first layer: (B, D) -> (E, B, H)."""
        return by_expert(self._activate(self.first(x_BD)), self.num_experts)

    def layer(self, number: int, hidden_EBH: Tensor) -> Tensor:
        """One of the others, counted from 1: (E, B, H) -> (E, B, K)."""
        weight_EHK, bias_E1K = self.weights[number - 1], self.biases[number - 1]
        return self._activate(torch.baddbmm(bias_E1K.to(hidden_EBH.dtype), hidden_EBH, weight_EHK))

    def undecayed(self) -> Iterable[nn.Parameter]:
        """The biases (E, 1, H), which are no vectors."""
        return self.biases

    def _activate(self, hidden: Tensor) -> Tensor:
        # In place, for fresh memory is what costs most beside the products.
        hidden = functional.relu(hidden, inplace=True)
        if self.dropout == 0:
            return hidden
        return functional.dropout(hidden, self.dropout, self.training)


class Routing(nn.Module):
    """softmax(logits / temperature) over experts, of which some may be left out.

    `dropout` leaves each expert of each row out with this probability, in training only and never
    all of a row; the rest is weighed as if the others did not exist. `top_k` keeps the k largest
    logits of a row, of equal ones those of the first experts (Shazeer et al., ICLR 2017, eq. 3-5).

    DIFF: without Shazeer's noise. All experts are computed, so a small `top_k` saves no time.

    **Shape** (..., E) -> (..., E), rows of which sum to one; float32 at least.

    Paper: https://arxiv.org/abs/1701.06538

    >>> Routing(3, top_k=2)(torch.tensor([0.0, 0.0, -1.0]))
    tensor([0.5000, 0.5000, 0.0000])
    """

    def __init__(
        self,
        num_experts: int,
        *,
        temperature: float = 1.0,
        dropout: float = 0.0,
        top_k: int | None = None,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, but {temperature=}")
        if not 0 <= dropout < 1:
            raise ValueError(f"a gate's dropout must be in [0, 1), but {dropout=}")
        if top_k is not None and not 1 <= top_k <= num_experts:
            raise ValueError(
                f"top_k must be from 1 to the number of experts that a gate mixes, {num_experts}, "
                f"but {top_k=}"
            )
        self.temperature = temperature
        self.dropout = dropout
        self.top_k = top_k

    def forward(self, logits_BE: Tensor) -> Tensor:
        logits_BE = logits_BE.to(torch.promote_types(logits_BE.dtype, torch.float32))
        if self.temperature != 1:
            logits_BE = logits_BE / self.temperature
        if self.training and self.dropout > 0:
            draws_BE = torch.rand_like(logits_BE)
            largest_B1 = draws_BE.amax(dim=-1, keepdim=True)
            out_BE = (draws_BE < self.dropout) & (draws_BE < largest_B1)
            logits_BE = logits_BE.masked_fill(out_BE, -torch.inf)
        if self.top_k is not None:
            order_BE = logits_BE.argsort(dim=-1, descending=True, stable=True)
            out_BE = torch.ones_like(logits_BE, dtype=torch.bool)
            out_BE = out_BE.scatter(-1, order_BE[..., : self.top_k], False)
            logits_BE = logits_BE.masked_fill(out_BE, -torch.inf)
        return _softmax(logits_BE)


def _softmax(logits_BE: Tensor) -> Tensor:
    """softmax over the last dimension: of a few, torch takes a seventh of the time over the first one."""
    if logits_BE.ndim != 2 or logits_BE.device.type != "cpu" or torch.compiler.is_compiling():
        return logits_BE.softmax(dim=-1)
    return logits_BE.t().softmax(dim=0).t()


class Gate(nn.Module):
    """softmax(W x) over experts: linear and without a bias, as in the MMoE paper.

    The other options are those of `Routing`.

    **Shape** (B, in_features) -> (B, num_experts), rows of which sum to one.

    Paper: https://doi.org/10.1145/3219819.3220007

    >>> gate = Gate(5, 3, temperature=0.5)
    >>> torch.allclose(gate(torch.zeros(1, 5)), torch.tensor(1 / 3))
    True
    """

    def __init__(
        self,
        in_features: int,
        num_experts: int,
        *,
        bias: bool = False,
        temperature: float = 1.0,
        dropout: float = 0.0,
        top_k: int | None = None,
    ) -> None:
        super().__init__()
        self.linear = Linear(in_features, num_experts, bias=bias)
        self.routing = Routing(num_experts, temperature=temperature, dropout=dropout, top_k=top_k)

    def forward(self, x_BD: Tensor) -> Tensor:
        weights_BE: Tensor = self.routing(self.linear(x_BD))
        return weights_BE


def mix(gate_BE: Tensor, experts_BEH: Tensor) -> Tensor:
    """The experts' outputs averaged by the gate: (B, E) and (B, E, H) -> (B, H).

    **Shape** (B, E) and (B, E, H) -> (B, H).

    >>> mix(torch.tensor([[0.25, 0.75]]), torch.tensor([[[4.0, 0.0], [0.0, 4.0]]]))
    tensor([[1., 3.]])
    """
    gate_BE = gate_BE.to(experts_BEH.dtype)
    if experts_BEH.ndim == 3 and suits_passes(gate_BE, experts_BEH):
        return mixed(gate_BE, experts_BEH)
    # B products of a vector and a small matrix take two to four times as long as this.
    return (gate_BE.unsqueeze(-1) * experts_BEH).sum(dim=1)
