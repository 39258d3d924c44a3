"""How many backward passes a step takes, as they are made."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass(slots=True, eq=False)
class Passes:
    """Backward passes that were seen, until `stop`."""

    number: int = 0
    per_step: float = 0.0
    is_counting: bool = True

    def stop(self, *, steps: int) -> None:
        if self.is_counting:
            self.is_counting = False
            self.per_step = self.number / max(steps, 1)


@contextmanager
def counted_passes() -> Iterator[Passes]:
    """Counts every pass backward through a graph, whole or to some tensors, inside the block.

    torch has no hook for a pass, so its two functions are replaced meanwhile: for a process that does
    nothing else.

    >>> x = torch.ones(2, requires_grad=True)
    >>> with counted_passes() as passes:
    ...     x.sum().backward()
    >>> passes.number
    1
    """
    passes, backward, grad = Passes(), torch.autograd.backward, torch.autograd.grad

    def counting(act: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **named: object) -> object:
            passes.number += passes.is_counting
            return act(*args, **named)

        return counted

    torch.autograd.backward = counting(backward)  # type: ignore[assignment]
    torch.autograd.grad = counting(grad)  # type: ignore[assignment]
    try:
        yield passes
    finally:
        torch.autograd.backward, torch.autograd.grad = backward, grad
