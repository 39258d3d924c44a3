"""AdamW around torch's own arithmetic, without the compiler that torch's class brings along."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor
from torch.optim.adamw import adamw

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8


class Group(TypedDict):
    """Parameters that are stepped alike."""

    params: Sequence[Tensor]
    lr: float
    weight_decay: float


class AdamW:
    """Loshchilov and Hutter, ICLR 2019: Adam, and weights decay apart from their gradient.

    The numbers, and those of `state_dict`, are those of `torch.optim.AdamW(fused=True)`, to the bit.
    That class imports torch.compile (2.2 s at every start), and its hooks and checks add 0.3 ms
    to every step, more than the arithmetic of a small model takes.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self.param_groups = list(groups)
        self._parameters = [p for group in self.param_groups for p in group["params"]]
        self._state: dict[Tensor, dict[str, Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if not moved:
                continue
            states = [self._state_of(parameter) for parameter in moved]
            adamw(
                moved,
                [p.grad for p in moved if p.grad is not None],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=True,
                amsgrad=False,
                beta1=_BETAS[0],
                beta2=_BETAS[1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=_EPSILON,
                maximize=False,
            )

    def state_dict(self) -> dict[str, dict[int, dict[str, Tensor]]]:
        """`state`: by the parameter's place, its count of steps and the two running means."""
        places = enumerate(self._parameters)
        return {"state": {i: self._state[p] for i, p in places if p in self._state}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over copies. Raises LookupError or ValueError where they are not of these parameters."""
        self._state.clear()
        for place, slots in state["state"].items():
            parameter = self._parameters[place]
            for name, mine in self._state_of(parameter).items():
                if slots[name].shape != mine.shape:
                    raise ValueError(
                        f"{name} of parameter {place} has the shape {tuple(slots[name].shape)}, "
                        f"not {tuple(mine.shape)}"
                    )
                mine.copy_(slots[name])

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state = self._state.get(parameter)
        if state is None:
            state = self._state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            }
        return state
