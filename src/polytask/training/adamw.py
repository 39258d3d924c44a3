"""AdamW around torch's own arithmetic, without the compiler and the checks that torch's class brings along."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor

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
            for alike in _alike(moved):
                states = [self._state_of(parameter) for parameter in alike]
                steps = [state["step"] for state in states]
                torch._foreach_add_(steps, 1)
                torch._fused_adamw_(
                    alike,
                    [p.grad for p in alike if p.grad is not None],
                    [state["exp_avg"] for state in states],
                    [state["exp_avg_sq"] for state in states],
                    [],
                    steps,
                    amsgrad=False,
                    lr=group["lr"],
                    beta1=_BETAS[0],
                    beta2=_BETAS[1],
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


def _alike(parameters: Sequence[Tensor]) -> Iterable[list[Tensor]]:
    """Those of one device and type together, as the kernel wants them; mostly all are."""
    found: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for parameter in parameters:
        found.setdefault((parameter.device, parameter.dtype), []).append(parameter)
    return found.values()
