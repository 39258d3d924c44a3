"""Trunks inside another, for the laws that all trunks obey."""

import torch

from polytask.trunks import Trunk
from polytask.trunks.testing import NUM_FEATURES, Make


def maker(wrapper: type[Trunk], kind: type[Trunk]) -> Make:
    """Makes the wrapped trunk in float64, with no weight where it began, so that none is the identity or zero."""

    def make(tasks) -> Trunk:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            trunk = wrapper(kind(NUM_FEATURES, len(tasks)), in_features=NUM_FEATURES)
            with torch.no_grad():
                for parameter in trunk.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
        return trunk.double().eval()

    return make
