"""Masks m(b, v, y, x): the observed cells among those that exist.

    m = 1 where priority(cell) is among the n lowest,    n = max(1, round(k * cells that exist)).

A pattern is a function that assigns a priority to every cell; the n lowest are observed, so k holds exactly for
every pattern. The same code draws the masks of training (on the device) and the stored masks of the test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.geometry import GOLDEN
from fieldcast.models.options import MIN_K
from fieldcast.models.random_streams import STATION_DATUM, RandomStreams
from fieldcast.models.space import Space

MAX_K = 1.0  # largest share k of observed cells
WAVES = 32  # number of waves in a smooth random field
# correlation length of a smooth random field, as a share of the radius of the domain
CORRELATION_LENGTH = 0.25
LOG_DENSITY_DEVIATION = 1.5  # standard deviation of the logarithm of the density of stations
INCLINATION = math.radians(80)  # inclination of the ground tracks to the equator
HALF_WIDTH = 1.5  # half the width of a swath, in rows of the grid

CellCount = Int[Tensor, " batch"]  # n
Priority = Float[Tensor, "batch layer y x"]  # one layer shared by all variables, or one for each


def random(streams: RandomStreams, space: Space, n: CellCount, layers: int) -> Priority:
    """Cells drawn with equal probability."""
    return streams.uniform(layers, *space.shape)[:, 0]


def regular(streams: RandomStreams, space: Space, n: CellCount, layers: int) -> Priority:
    """A lattice of r rows and c columns with a random phase, with r c close to n and r / c close to Y / X.

    Every Y / r-th row and X / c-th column, rounded: a cell is a node where y + phase passes a multiple of
    Y / r, and so for x. Y and X are whole numbers of periods, so the lattice closes round the globe. Excess
    nodes are left out at random, and missing ones are added at random.
    """
    height, width = space.shape
    cells = n * (height * width / space.exists.sum())  # nodes of a lattice with n of them on cells that exist
    r = (height * torch.sqrt(cells / (height * width))).round().clamp(1, height)
    c = (cells / r).round().clamp(1, width)
    phase = streams.uniform(layers, 2)[:, 0]

    def node(size: int, count: Tensor, phase: Tensor) -> Tensor:
        period = (size / count)[:, None, None]
        return (torch.arange(size, device=n.device) + phase[..., None] * period) % period < 1

    nodes = node(height, r, phase[..., 0])[..., :, None] & node(width, c, phase[..., 1])[..., None, :]
    return (~nodes).float() + streams.uniform(layers, height, width)[:, 0]


def stations(streams: RandomStreams, space: Space, n: CellCount, layers: int) -> Priority:
    """Fixed stations of uneven density, a function of the seed alone; a smaller n selects a subset of them.

    They are drawn without replacement with weight w, as the lowest of -log(u) / w (Efraimidis and Spirakis 2006); w is
    the area of the cell times the exponential of a smooth random field.
    """
    return station_priorities(streams.seed, space, layers, space.area.device).expand(len(n), -1, -1, -1)


@lru_cache(maxsize=8)
def station_priorities(seed: int, space: Space, layers: int, device: torch.device) -> Priority:
    """Priorities of the fixed stations; cached, because every batch uses the same ones."""
    fixed = RandomStreams(seed, torch.full((1,), STATION_DATUM, device=device))
    weight = space.area.clamp(min=1e-6) * torch.exp(
        LOG_DENSITY_DEVIATION * smooth_field(fixed, space, layers)
    )
    return -torch.log(fixed.uniform(layers, *space.shape)[:, 0]) / weight


def swaths(streams: RandomStreams, space: Space, n: CellCount, layers: int) -> Priority:
    """Satellite swaths: the priority of a cell is the time of the first pass over it.

    A pass is half a great circle from one turning point to the other, inclined to the equator; passes alternate
    between north- and southward. Each is shifted by the golden ratio of the width of the domain, so that any
    number of passes is evenly distributed. With a the node and m the normal of its plane, a pass covers cell p if
    p . a > 0 and |p . m| < half width. Cells outside all swaths come last, the nearest to a track first. The first
    pass begins at random, so that a small n can lie anywhere.
    """
    x, y, z = space.points.unbind(-1)
    reach = HALF_WIDTH * spacing(space)
    west, width, parallel = _domain(space)
    passes = max(1, math.ceil(width / (2 * reach)))
    phase, begin, turn = (u[..., None] for u in streams.uniform(3, layers, 1, 1)[:, 0].unbind(1))
    j = torch.arange(passes, device=z.device)[:, None, None]
    upward = torch.where(turn < 0.5, 1.0, -1.0) * (1 - 2 * (j % 2))
    latitude = z.clamp(-1, 1).asin()
    along = (latitude - latitude.min()) / (latitude.max() - latitude.min()).clamp(min=1e-6)
    lead = torch.asin((upward * math.tan(parallel) / math.tan(INCLINATION)).clamp(-1, 1))  # node to parallel
    node = west + width * ((phase + (j.double() * GOLDEN).float()) % 1) - lead
    cos, sin = torch.cos(node), torch.sin(node)  # (B, layer, pass, 1, 1)
    off = (math.cos(INCLINATION) * upward * z - math.sin(INCLINATION) * (y * cos - x * sin)).abs_()
    off = off.masked_fill_(x * cos + y * sin <= 0, 2.0)
    time = j - begin + torch.where(upward > 0, along, 1 - along)
    time = time + off / (2 * reach * len(z))  # within a row, the middle of the swath first
    overpass = time.masked_fill_((off >= reach) | (time < 0), math.inf).amin(2)
    return torch.where(overpass.isinf(), passes + 1 + off.amin(2), overpass)


@lru_cache(maxsize=8)
def spacing(space: Space) -> float:
    """Chord between rows, or between the cells of a single row; the radius of the sphere for a single cell."""
    points = space.points if len(space.points) > 1 else space.points.transpose(0, 1)
    chords = (points[1:] - points[:-1]).norm(dim=-1)
    return float(chords.median()) if chords.numel() else 1.0


def blocks(streams: RandomStreams, space: Space, n: CellCount, layers: int) -> Priority:
    """Clouds, which hide whole areas: the cells where a smooth random field is lowest are clear."""
    return smooth_field(streams, space, layers)


PatternFunction = Callable[[RandomStreams, Space, CellCount, int], Priority]
PATTERN_FUNCTIONS: Mapping[str, PatternFunction] = {
    f.__name__: f for f in (random, regular, stations, swaths, blocks)
}


def smooth_field(streams: RandomStreams, space: Space, layers: int) -> Priority:
    """A random field of mean 0 and variance 1, isotropic on the sphere: sqrt(2 / W) sum_j cos(w_j . p + a_j).

    With w ~ N(0, I / l^2) its covariance is exp(-d^2 / (2 l^2)) in the chord distance d (Rahimi and Recht
    2007, algorithm 1); l is a share of the radius of the domain, which is 1 for the sphere.
    """
    share = space.existing_area / space.existing_area.sum()
    centre = (share[..., None] * space.points).sum((0, 1))
    radius = (share * ((space.points - centre) ** 2).sum(-1)).sum().sqrt()
    w = streams.normal(layers, WAVES, 3)[:, 0] / (CORRELATION_LENGTH * radius)
    phase = 2 * math.pi * streams.uniform(layers, WAVES)[:, 0]
    angle = w @ space.points.flatten(0, 1).T + phase[..., None]  # (B, layer, W, cells)
    return angle.cos_().sum(2).unflatten(-1, space.shape) * math.sqrt(2 / WAVES)


def check_range_of_fractions(k: tuple[float, float] | Float[Tensor, " batch"]) -> None:
    """Refuse a share of observed cells outside the supported range."""
    low, high = (float(k.min()), float(k.max())) if isinstance(k, Tensor) else k
    slack = 1e-6  # 0.005 rounds down in single precision
    if not MIN_K - slack <= low <= high <= MAX_K + slack:
        raise InputError(
            f"k: {low:g} to {high:g} is not a range of fractions of observed cells; "
            f"give values between {MIN_K:g} (0.5 %) and {MAX_K:g} (100 %), the lower one first."
        )


def choose(priority: Priority, n: CellCount) -> Bool[Tensor, "batch layer y x"]:
    """Select the n cells of lowest priority; among equal ones the first.

    The n-th lowest priority is found by selection, which is faster than sorting but needs one rank for all data: with
    N - n negative and n positive infinities before the N cells, the n-th of each datum has rank N.
    """
    cells, n = priority.flatten(2), n[:, None, None]
    size = cells.shape[-1]
    lowest = torch.arange(size, device=n.device) < size - n
    ends = torch.where(lowest, -math.inf, math.inf).expand_as(cells)
    highest = torch.cat([ends, cells], dim=-1).kthvalue(size, dim=-1, keepdim=True).values
    below, level = cells < highest, cells == highest
    remaining = n - below.sum(dim=-1, keepdim=True)
    return (below | (level & (level.cumsum(dim=-1) <= remaining))).view(priority.shape)


def draw(
    patterns: tuple[str, ...],
    k: tuple[float, float] | Float[Tensor, " batch"],
    streams: RandomStreams,
    space: Space,
    per_variable: bool = False,
) -> Bool[Tensor, "batch variable y x"]:
    """Draw a mask for each datum: its pattern uniformly among `patterns`, its k log-uniformly in a range or as given.

    All variables share the mask, or have separate masks with the same pattern and k. A mask is a function of the
    seed, step and datum of `streams`; the cells of `stations` are a function of the seed alone.
    """
    for name in patterns:
        if name not in PATTERN_FUNCTIONS:
            near = get_close_matches(name, PATTERN_FUNCTIONS, n=1, cutoff=0)[0]
            raise InputError(f"there is no pattern '{name}'; did you mean '{near}'?")
    check_range_of_fractions(k)
    shared = streams.alone()
    share, kind = shared.uniform(2)[:, 0].unbind(1)
    if not isinstance(k, Tensor):
        k = torch.exp(math.log(k[0]) + share * math.log(k[1] / k[0]))
    n = (k * space.exists.sum()).round().long().clamp(min=1)
    number = (kind * len(patterns)).long()  # of the pattern of each datum
    layers = len(space.variables) if per_variable else 1
    fill = by_index if n.device.type == "cpu" else by_choice
    priority = torch.empty(len(n), layers, *space.shape, device=n.device)
    for name in dict.fromkeys(patterns):
        of_pattern = torch.stack([number == i for i, each in enumerate(patterns) if each == name]).any(0)
        priority = fill(priority, of_pattern, PATTERN_FUNCTIONS[name], shared.fork(0), space, n)
    streams.call = shared.call  # the pattern has its own fork, so later draws do not depend on it
    mask = choose(priority.masked_fill(~space.exists, math.inf), n)
    return mask.expand(-1, len(space.variables), -1, -1).contiguous()


def by_index(
    priority: Priority,
    selected: Bool[Tensor, " batch"],
    pattern: PatternFunction,
    streams: RandomStreams,
    space: Space,
    n: CellCount,
) -> Priority:
    """Fill in the priorities of the selected data, and draw those of no others."""
    datum = selected.nonzero()[:, 0]
    if len(datum):
        priority[datum] = pattern(streams.of_data(datum), space, n[datum], priority.shape[1])
    return priority


def by_choice(
    priority: Priority,
    selected: Bool[Tensor, " batch"],
    pattern: PatternFunction,
    streams: RandomStreams,
    space: Space,
    n: CellCount,
) -> Priority:
    """Fill in the priorities of the selected data, and draw those of all, so that no step waits for an accelerator."""
    return torch.where(selected[:, None, None, None], pattern(streams, space, n, priority.shape[1]), priority)


def observe(
    x: Float[Tensor, "batch variable y x"],
    mask: Bool[Tensor, "batch variable y x"],
    noise: float,
    streams: RandomStreams,
) -> Float[Tensor, "batch variable y x"]:
    """Observe m (x + noise * eps), eps standard normal; zero at unobserved cells, where x may be NaN."""
    shared = streams.alone()
    eps = shared.normal(*x.shape[1:])[:, 0]
    streams.call = shared.call
    return torch.where(mask, x + noise * eps, 0.0)


@lru_cache(maxsize=8)
def _domain(space: Space) -> tuple[float, float, float]:
    """West edge and width of the parallel on which passes are evenly distributed, and its latitude, in radians."""
    middle = space.points[space.shape[0] // 2]
    if space.wraps:
        return 0.0, 2 * math.pi, 0.0
    longitude = torch.atan2(middle[:, 1], middle[:, 0])
    centre = longitude[len(longitude) // 2]
    offset = (longitude - centre + math.pi) % (2 * math.pi) - math.pi  # a region may lie across the date line
    return float(centre + offset.min()), float(offset.max() - offset.min()), float(middle[0, 2].asin())
