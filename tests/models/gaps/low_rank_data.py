"""Data of a known Gaussian of low rank."""

import torch

from fieldcast.models.gaps.low_rank_gaussian import LowRank


def low_rank(cells: int, rank: int, seed: int = 0, noise: float = 0.1) -> LowRank:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(cells, generator=generator, dtype=torch.float64)
    weights = torch.randn(rank, cells, generator=generator, dtype=torch.float64)
    return LowRank(mean, weights, torch.tensor(noise, dtype=torch.float64))


def sampled(model: LowRank, times: int, missing: float, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(times, model.rank, generator=generator, dtype=torch.float64)
    shape = times, len(model.mean)
    x = model.mean + z @ model.weights
    x += model.variance.sqrt() * torch.randn(shape, generator=generator, dtype=torch.float64)
    return x, torch.rand(shape, generator=generator) >= missing
