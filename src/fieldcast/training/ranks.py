"""Ranks: processes that train one model together, each with a share of the data of every batch.

The loss of a batch is a mean over its data. Rank r of N computes the mean L_r over its share of n_r of the n data, and

    L = sum_r w_r L_r,    dL/dtheta = sum_r w_r dL_r/dtheta,    w_r = n_r / n

(Li et al. 2020, "PyTorch Distributed", section 2.3, for equal shares). All ranks receive the same sums, so that their
weights, moments, averages and decisions remain equal; decisions that depend on the clock follow the first rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import current_process

import torch
import torch.distributed as dist
from jaxtyping import Int
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.replicas import choose_device
from fieldcast.training.options import Fit


@dataclass(frozen=True)
class Ranks:
    """The number of a process among the ranks that train together; a single rank does not communicate.

    Parameters
    ----------
    number
        Number of this rank, from 0.
    count
        Number of ranks.
    device
        The device of this rank.
    """

    number: int = 0
    count: int = 1
    device: torch.device | str = "cpu"

    def share(self, batch: Int[Tensor, " batch"]) -> tuple[Int[Tensor, " share"], float]:
        """The share of this rank of the data of a batch, and its weight w_r.

        A rank without a share computes the first datum with weight 0, because all ranks must take the same steps.
        """
        share = batch.tensor_split(self.count)[self.number]
        return (share, len(share) / len(batch)) if len(share) else (batch[:1], 0.0)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their sums over the ranks, in one message."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def sums(self, values: Sequence[float]) -> list[float]:
        """Sums of numbers over the ranks."""
        numbers = torch.tensor(values, dtype=torch.float64, device=self.device)
        self.add([numbers])
        return numbers.tolist()

    def gather(self, value: float) -> list[float]:
        """The value of each rank."""
        return self.sums([value if number == self.number else 0.0 for number in range(self.count)])


SINGLE_RANK = Ranks()


def number_of_ranks(options: Fit, device: str, data: int) -> int:
    """Number of ranks for `fit.ranks` on a device, for a training split with `data` data."""
    kind, largest = choose_device(device).type, min(options.batch, data)
    gpus = torch.cuda.device_count() if kind == "cuda" and ":" not in device else 1
    if options.ranks == "auto":
        return 1 if current_process().daemon else max(1, min(gpus, largest))
    count = options.ranks
    if count == 1:
        return 1
    if count > largest:
        raise InputError(
            f"fit.ranks is {count}, but a batch holds only {largest} items, and each rank needs at least one: set "
            f"fit.ranks to at most {largest}."
        )
    if kind != "cpu" and count > gpus:
        raise InputError(
            f"fit.ranks is {count}, but device: {device} provides only {gpus} of type '{kind}': set fit.ranks to "
            "auto, or device to cpu."
        )
    if current_process().daemon:
        raise InputError(
            f"fit.ranks is {count}, but this worker may not start processes: set fit.ranks to 1, or "
            "`distributed.worker.daemon: false` in the configuration of Dask."
        )
    return count
