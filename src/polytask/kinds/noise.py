"""Losses of tasks that predict how noisy each label is: a log-variance beside the prediction.

Kendall and Gal, NeurIPS 2017, What Uncertainties Do We Need in Bayesian Deep Learning for Computer
Vision?, sections 2.2 and 3.3: heteroscedastic, as the noise is a function of the example. The last
of the outputs (B, O) is s = log sigma^2; losses are per example, (B,).
"""

import math
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Noise = Literal["constant", "learned"]

_LARGEST_LOG_VARIANCE = 10.0
NUM_ROUNDS = 12
"""In which the outputs are found whose mean probability is the training mean, to 1e-6."""

_NUM_NODES = 20
_NUM_DRAWS = 32


def noisy_squared_error(outputs_B2: Tensor, labels_B: Tensor) -> Tensor:
    """Eq. 8: exp(-s) (y - f)^2 / 2 + s / 2, with s clamped to +-10."""
    value_B, log_variance_B = full_precision(outputs_B2).unbind(1)
    log_variance_B = _clamped(log_variance_B)
    return 0.5 * ((-log_variance_B).exp() * (value_B - labels_B).square() + log_variance_B)


def noisy_binary_loss(outputs_B2: Tensor, labels_B: Tensor) -> Tensor:
    """Eq. 12 for two classes: -log E sigmoid(+-(f + sigma e)), e standard normal.

    A label between 0 and 1 is the probability of yes.
    """
    labels_B = labels_B.to(torch.promote_types(outputs_B2.dtype, torch.float32))
    yes_B = noisy_log_probability(outputs_B2)
    no_B = noisy_log_probability(outputs_B2, sign=-1.0)
    return -(labels_B * yes_B + (1.0 - labels_B) * no_B)


def noisy_log_probability(outputs_B2: Tensor, *, sign: float = 1.0) -> Tensor:
    """log E sigmoid(sign (f + sigma e)): what is trained is what is predicted.

    DIFF: the expectation by Gauss-Hermite quadrature, exact to the eye, in the place of draws.
    """
    logit_B, log_variance_B = full_precision(outputs_B2).unbind(1)
    nodes_N, log_weights_N = (part.to(logit_B) for part in _normal_quadrature())
    spread_B = (0.5 * _clamped(log_variance_B)).exp()
    logits_BN = logit_B[:, None] + spread_B[:, None] * nodes_N
    return (functional.logsigmoid(sign * logits_BN) + log_weights_N).logsumexp(dim=1)


def noisy_multiclass_loss(outputs_BO: Tensor, labels_B: Tensor) -> Tensor:
    """Eq. 12: -log mean_n softmax(f + sigma e_n)_y; one sigma for all classes of an example."""
    log_probability_BNC = _log_probabilities(outputs_BO)
    num_draws = log_probability_BNC.shape[1]
    chosen_BN1 = labels_B.long()[:, None, None].expand(-1, num_draws, 1)
    log_probability_BN = log_probability_BNC.gather(2, chosen_BN1).squeeze(2)
    return math.log(num_draws) - log_probability_BN.logsumexp(dim=1)


def noisy_probabilities(outputs_BO: Tensor) -> Tensor:
    """mean_n softmax(f + sigma e_n) (B, C), over the draws of the loss."""
    return _log_probabilities(outputs_BO).exp().mean(dim=1)


def _log_probabilities(outputs_BO: Tensor) -> Tensor:
    """log softmax(f + sigma e_n) (B, N, C).

    DIFF: the same 32 draws e_n (in pairs of opposite sign) for all examples and steps, so that the
    loss is a function of the outputs.
    """
    outputs_BO = full_precision(outputs_BO)
    logits_BC, log_variance_B = outputs_BO[:, :-1], outputs_BO[:, -1]
    spread_B = (0.5 * _clamped(log_variance_B)).exp()
    draws_NC = _draws(logits_BC.shape[1]).to(logits_BC)
    return (logits_BC[:, None] + spread_B[:, None, None] * draws_NC).log_softmax(dim=2)


def full_precision(outputs_BO: Tensor) -> Tensor:
    """Half precisions as float32, where sums and logarithms still hold; the others as they are."""
    return outputs_BO.to(torch.promote_types(outputs_BO.dtype, torch.float32))


def _clamped(log_variance_B: Tensor) -> Tensor:
    return log_variance_B.clamp(-_LARGEST_LOG_VARIANCE, _LARGEST_LOG_VARIANCE)


@cache
def _normal_quadrature() -> tuple[Tensor, Tensor]:
    nodes_N, weights_N = np.polynomial.hermite_e.hermegauss(_NUM_NODES)
    return torch.from_numpy(nodes_N), torch.from_numpy(np.log(weights_N / weights_N.sum()))


@cache
def _draws(num_classes: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    half_NC = torch.randn(_NUM_DRAWS // 2, num_classes, generator=generator, dtype=torch.float64)
    return torch.cat([half_NC, -half_NC])
