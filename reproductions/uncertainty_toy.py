"""The toy regression that comes with uncertainty weighting: does it learn the tasks' noise?

100 points, y1 = 2 x + 8 + noise of deviation 10, y2 = 3 x + 3 + noise of deviation 1; one hidden
layer of 1024 shared units, two heads, Adam, 2000 epochs in batches of 20. The authors' notebook ends
at sigma 8.6 and 0.92, the deviations that are left after the fit (Kendall, Gal, Cipolla, CVPR 2018).

    python reproductions/uncertainty_toy.py              # 400 epochs
    python reproductions/uncertainty_toy.py --full       # 2000 epochs, as published
"""

import argparse
import time

import torch
from torch import Tensor, nn

from polytask.balancing import Uncertainty, balanced_backward

NUM_POINTS, BATCH = 100, 20
QUICK_EPOCHS, FULL_EPOCHS = 400, 2000


def data(seed: int) -> tuple[Tensor, Tensor]:
    """Inputs (100, 1) and both tasks' targets (100, 2)."""
    generator = torch.Generator().manual_seed(seed)
    x_B1 = torch.randn(NUM_POINTS, 1, generator=generator)
    noise_BT = torch.randn(NUM_POINTS, 2, generator=generator) * torch.tensor([10.0, 1.0])
    return x_B1, x_B1 * torch.tensor([2.0, 3.0]) + torch.tensor([8.0, 3.0]) + noise_BT


def residual_deviations(x_B1: Tensor, y_BT: Tensor) -> list[float]:
    """What least squares leaves: the deviations that a straight line cannot explain."""
    design_B2 = torch.cat([x_B1, torch.ones_like(x_B1)], dim=1)
    rest_BT = y_BT - design_B2 @ torch.linalg.lstsq(design_B2, y_BT).solution
    return rest_BT.square().mean(0).sqrt().tolist()


def learned_sigmas(x_B1: Tensor, y_BT: Tensor, *, epochs: int, seed: int) -> list[float]:
    """exp(s / 2) of both tasks after training, the mean over the last tenth of the steps."""
    torch.manual_seed(seed)
    trunk, heads = nn.Sequential(nn.Linear(1, 1024), nn.ReLU()), nn.Linear(1024, 2)
    balancer = Uncertainty(2)
    optimizer = torch.optim.Adam([*trunk.parameters(), *heads.parameters()])
    generator = torch.Generator().manual_seed(seed)
    log_variances = []
    for _ in range(epochs):
        for rows in torch.randperm(NUM_POINTS, generator=generator).split(BATCH):
            errors_BT = heads(trunk(x_B1[rows])) - y_BT[rows]
            optimizer.zero_grad()
            balanced_backward([errors_B.square().mean() for errors_B in errors_BT.T], balancer)
            optimizer.step()
            log_variances.append(balancer.log_variance_T.detach().clone())
    last_NT = torch.stack(log_variances[-len(log_variances) // 10 :])
    return (last_NT.mean(0) / 2).exp().tolist()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="2000 epochs and five seeds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    epochs, seeds = (FULL_EPOCHS, range(5)) if options.full else (QUICK_EPOCHS, range(2))
    print(f"{epochs} epochs      least squares leaves     learned sigma")
    for seed in seeds:
        x_B1, y_BT = data(seed)
        left, learned = (
            residual_deviations(x_B1, y_BT),
            learned_sigmas(x_B1, y_BT, epochs=epochs, seed=seed),
        )
        print(
            f"  seed {seed}          {left[0]:6.2f} {left[1]:6.3f}         {learned[0]:6.2f} {learned[1]:6.3f}"
        )
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
