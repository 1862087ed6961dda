"""A small Space for tests of models."""

import math
from collections.abc import Callable

import pytest
import torch

from fieldcast.models.space import Space


def make_space(variables: int = 2, latitudes: int = 9, columns: int = 16, wraps: bool = True) -> Space:
    """The globe, or a region of it, with odd numbers of rows allowed."""
    latitude = torch.linspace(-80, 80, latitudes) * math.pi / 180
    longitude = torch.arange(columns) * (2 * math.pi / columns if wraps else 0.05)
    cos = torch.cos(latitude)[:, None]
    points = torch.stack(
        [
            cos * torch.cos(longitude),
            cos * torch.sin(longitude),
            torch.sin(latitude)[:, None].expand(latitudes, columns),
        ],
        dim=-1,
    )
    area = cos.expand(latitudes, columns) / cos.mean()
    static = torch.sin(latitude)[None, :, None].expand(1, latitudes, columns)
    return Space(
        variables=tuple(f"v{i}" for i in range(variables)), wraps=wraps, area=area,
        exists=torch.ones(latitudes, columns, dtype=torch.bool), points=points,
        static=static, tendency=torch.linspace(0.5, 1, variables),
    )  # fmt: skip


@pytest.fixture
def space() -> Space:
    return make_space()


@pytest.fixture
def sized() -> Callable[..., Space]:
    """Spaces of other sizes."""
    return make_space
