"""A sequence model's training that may stop at any step and go on from there to the same bits."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from polytask.balancing import Equal, balanced_backward


class InPieces(ABC):
    """AdamW under a rate that rises for `warm_up` steps and falls to 0; what it stands at lies at `path`.

    A subclass makes its network under the seed (`torch.manual_seed`) before it calls `begin`, and its `train` takes
    the step of number `self.step`.
    """

    def begin(
        self,
        network: nn.Module,
        path: Path,
        *,
        num_losses: int,
        num_steps: int,
        rate: float,
        warm_up: int,
    ) -> None:
        self.network, self.path, self.balancer = network, path, Equal(num_losses)
        self.num_steps, self.rate, self.warm_up = num_steps, rate, warm_up
        self.step, self.seconds = 0, 0.0
        self.optimizer = torch.optim.AdamW(
            network.parameters(), betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        if path.exists():
            kept = torch.load(path, weights_only=True)
            network.load_state_dict(kept["network"])
            self.optimizer.load_state_dict(kept["optimizer"])
            torch.set_rng_state(kept["random"])
            self.step, self.seconds = kept["step"], kept["seconds"]

    def save(self) -> None:
        """Whole or not at all."""
        kept = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "step": self.step,
            "seconds": self.seconds,
        }
        beside = self.path.with_suffix(".new")
        torch.save(kept, beside)
        beside.replace(self.path)

    def run(self, deadline: float) -> bool:
        """Train to the end or the deadline; whether it was the end."""
        started = time.process_time() - self.seconds
        while self.step < self.num_steps and time.monotonic() < deadline:
            told = self.train()
            self.step += 1
            self.seconds = time.process_time() - started
            if self.step % 100 == 0:
                print(
                    f"  step {self.step}/{self.num_steps}: {told}, {self.seconds:.0f} s", flush=True
                )
        self.save()
        return self.step >= self.num_steps

    @abstractmethod
    def train(self) -> str:
        """One step, by `learn`; what is to be told of it."""

    def learn(self, losses: Sequence[Tensor], penalty: Tensor | None = None) -> str:
        """From the losses, weighed alike; these in words."""
        warm, left = (self.step + 1) / self.warm_up, 1 - self.step / self.num_steps
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * min(warm, left, 1.0)
        decided = balanced_backward([*losses], self.balancer, penalty=penalty)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return ", ".join(f"{value:.3f}" for value in decided.losses_T.tolist())
