"""Randomness that is a function of (seed, step): ranks agree, and a resumed run repeats."""

import torch

_MASK = (1 << 64) - 1


def seed_at(seed: int, step: int) -> int:
    """A seed for one step, in [0, 2^63): two rounds of SplitMix64 (Steele et al., OOPSLA 2014).

    https://doi.org/10.1145/2660193.2660195
    """
    mixed = _mix(_mix(seed & _MASK) ^ (step & _MASK))
    return mixed >> 1


def generator_at(seed: int, step: int, *, device: torch.device | None = None) -> torch.Generator:
    """A generator of this step's own."""
    return torch.Generator(device=device or torch.device("cpu")).manual_seed(seed_at(seed, step))


def _mix(state: int) -> int:
    state = (state + 0x9E3779B97F4A7C15) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)
