"""Batch normalisation over the batch of all ranks that train together (torch's own has no CPU kernel)."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn


class AllReduceSum(torch.autograd.Function):
    """y = sum over ranks of x_r; as every rank's loss depends on y, dL/dx_r = sum over ranks of dL_r/dy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return AllReduceSum.apply(gradient)


class BatchNorm(nn.BatchNorm2d):
    """x -> (x - m) / sqrt(v + eps) * weight + bias for each channel (Ioffe and Szegedy 2015, algorithm 1).

    m and v are the mean and the variance over the data and cells of the whole batch, also when several ranks hold a
    share of it. The running statistics are those of `torch.nn.BatchNorm2d`, with v unbiased.
    """

    def forward(self, x: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel y x"]:
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        count = AllReduceSum.apply(x.new_tensor(float(x.numel() // x.shape[1])))
        mean = AllReduceSum.apply(x.sum(dim=(0, 2, 3))) / count
        deviation = x - mean[:, None, None]
        variance = AllReduceSum.apply(deviation.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return deviation * scale[:, None, None] + self.bias[:, None, None]
