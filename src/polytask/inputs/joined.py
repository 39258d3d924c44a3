"""The encoder: the modules of all inputs, side by side."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from polytask.inputs.crosses import CrossLayers
from polytask.inputs.folded import Fold, FoldedRows
from polytask.inputs.input import Feature, Input

# Matrix products of rows that are not whole vectors of the processor (or tiles of a GPU) are slower.
_MULTIPLE = 8


class JoinedEncoder(nn.Module):
    """Each input's module on its tensor, joined to one vector x per row.

    With `cross_layers` each entry is crossed with all others (see CrossLayers).
    Zeros fill x up to a multiple of 8; `features` says what each entry before them is.

    **Shape** a tensor (B, ...) for each input's name -> (B, out_features), or (W, out_features) where an
    input makes a vector of each word.
    """

    def __init__(
        self, inputs: Mapping[str, Input], *, cross_layers: int = 0, cross_rank: int = 32
    ) -> None:
        super().__init__()
        if not inputs:
            raise ValueError("an encoder needs at least one input column")
        self.parts = nn.ModuleDict({name: one.module() for name, one in inputs.items()})
        self.widths = {name: len(one.features()) for name, one in inputs.items()}
        self._counting = {name: one.num_words for name, one in inputs.items()}
        self.features: tuple[Feature, ...] = tuple(
            feature for one in inputs.values() for feature in one.features()
        )
        self.crosses: CrossLayers | None = None
        if cross_layers:
            size = len(self.features)
            self.crosses = CrossLayers(size, num_layers=cross_layers, rank=cross_rank)
        self.out_features = math.ceil(len(self.features) / _MULTIPLE) * _MULTIPLE
        self.num_zeros = self.out_features - len(self.features)
        self.fold: Fold | None = None

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        parts = [self._part(name, module, inputs[name]) for name, module in self.parts.items()]
        num_words_B = self.num_words(inputs)
        if num_words_B is not None:
            parts = self._at_words(parts, inputs, num_words_B)
        if self.crosses is not None:
            crossed_BD: Tensor = self.crosses(torch.cat(parts, dim=1), self.num_zeros)
            return crossed_BD
        if self.num_zeros:
            # Not len(), which would freeze the batch's size in an exported model.
            parts.append(parts[0].new_zeros(parts[0].shape[0], self.num_zeros))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def num_words(self, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """How many words each row has (B,), where an input has a vector for each; None where none has."""
        counts = (count(inputs[name]) for name, count in self._counting.items())
        return next((each for each in counts if each is not None), None)

    def _at_words(
        self, parts: list[Tensor], inputs: Mapping[str, Tensor], num_words_B: Tensor
    ) -> list[Tensor]:
        """What is the same for all words of a row stands beside each of them."""
        names = zip(parts, self._counting.items())
        return [
            part.repeat_interleave(num_words_B, dim=0) if count(inputs[name]) is None else part
            for part, (name, count) in names
        ]

    def fold_for(self, batch_size: int) -> None:
        """Fold the columns of few values into the layers that read x, for batches of this size.

        Cross layers multiply each entry of x with numbers of its row, so that no table of values serves them.
        """
        is_sketch = any(parameter.is_meta for parameter in self.parameters())
        if self.crosses is None and not is_sketch:
            parts = dict(self.parts.items())
            self.fold = Fold.of(parts, self.widths, batch_size=batch_size)

    @property
    def num_folded(self) -> int:
        """How many columns are folded."""
        return 0 if self.fold is None else len(self.fold.layout.columns)

    def folded(self, inputs: Mapping[str, Tensor]) -> FoldedRows | None:
        """What stands in for x where products alone read it; None where x is made."""
        fold = self.fold
        if fold is None or not fold.suits(len(next(iter(inputs.values())))):
            return None
        return fold.rows(
            [
                fold.parts[name].read(inputs[name])
                if name in fold.parts
                else self._part(name, module, inputs[name])
                for name, module in self.parts.items()
            ]
        )

    def _part(self, name: str, module: nn.Module, values: Tensor) -> Tensor:
        part_BF: Tensor = module(values)
        if part_BF.ndim != 2 or part_BF.shape[1] != self.widths[name]:
            raise ValueError(
                f"the module of input {name!r} has {self.widths[name]} features, so it must return "
                f"(rows, {self.widths[name]}), but it returned {tuple(part_BF.shape)}"
            )
        return part_BF


class SingleInput(nn.Module):
    """x is what `module` makes of one input; without a module x is that input.

    **Shape** inputs[name] (B, ...) -> (B, D).

    >>> import torch
    >>> SingleInput("image", nn.Flatten())({"image": torch.zeros(5, 2, 3)}).shape
    torch.Size([5, 6])
    """

    def __init__(self, name: str, module: nn.Module | None = None) -> None:
        super().__init__()
        self.name = name
        self.module = module or nn.Identity()

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        x_BD: Tensor = self.module(inputs[self.name])
        return x_BD
