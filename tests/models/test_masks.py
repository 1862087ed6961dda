"""Masks: exact counts, the statistics of each pattern, and blindness to how data are batched."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from torch.utils._python_dispatch import TorchDispatchMode

from fieldcast.errors import InputError
from fieldcast.models import masks, options
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

ALL = tuple(masks.PATTERN_FUNCTIONS)


def test_options_name_every_pattern():
    assert ALL == options.PATTERNS


def make_space(latitudes=24, columns=48, variables=2, *, region=None, exists=None, poles=False):
    """A global grid, or the region (south, north, west, east) in degrees."""
    south, north, west, east = region or (-90, 90, 0, 360)
    if region or poles:
        latitude = torch.linspace(south, north, latitudes)
    else:
        latitude = south + (north - south) * (torch.arange(latitudes) + 0.5) / latitudes
    longitude = torch.linspace(west, east, columns) if region else torch.arange(columns) * 360 / columns
    phi, lam = torch.deg2rad(latitude)[:, None], torch.deg2rad(longitude)[None]
    z = phi.sin().expand(latitudes, columns)
    points = torch.stack([phi.cos() * lam.cos(), phi.cos() * lam.sin(), z], dim=-1)
    exists = torch.ones(latitudes, columns, dtype=torch.bool) if exists is None else exists
    area = phi.cos().clamp(min=1e-3).expand(latitudes, columns)
    names = tuple(f"v{i}" for i in range(variables))
    static, tendency = torch.zeros(0, latitudes, columns), torch.ones(variables)
    return Space(names, region is None, area / area[exists].mean(), exists, points, static, tendency)


def land(latitudes=24, columns=48):
    exists = torch.ones(latitudes, columns, dtype=torch.bool)
    exists[5:15, 10:30] = False
    return exists


def draws(count, seed=0, first=0, step=0):
    return RandomStreams(seed, torch.arange(first, first + count), step=step)


SPACES = {
    "globe": make_space(),
    "poles": make_space(latitudes=25, poles=True),
    "region": make_space(latitudes=17, columns=33, variables=1, region=(15, 75, 200, 330)),
    "land": make_space(exists=land()),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("pattern", ALL)
@pytest.mark.parametrize("per_variable", [False, True])
def test_the_count_is_exact_and_only_existing_cells_are_observed(space, pattern, per_variable):
    k = torch.tensor([0.005, 0.01, 0.037, 0.1, 0.2, 0.5, 0.77, 0.999, 1.0])
    mask = masks.draw((pattern,), k, draws(len(k)), space, per_variable)
    assert mask.shape == (len(k), *space.state_shape)
    assert not mask[..., ~space.exists].any()
    expected = np.maximum(1, np.round(k.numpy() * int(space.exists.sum()))).astype(int)
    counts = mask.sum((2, 3)).numpy()
    assert (counts == expected[:, None]).all()


def test_the_lowest_are_those_of_a_stable_sort_where_many_are_equal_or_do_not_exist():
    generator = torch.Generator().manual_seed(0)
    priority = torch.randint(20, (64, 2, 9, 11), generator=generator) / 7 - 1
    priority[..., 2:4, 3:] = math.inf
    n = torch.randint(1, 9 * 11 - 16 + 1, (64,), generator=generator)
    n[:2] = torch.tensor([1, 9 * 11 - 16])
    rank = priority.flatten(2).argsort(dim=2, stable=True).argsort(dim=2)
    expected = (rank < n[:, None, None]).view(priority.shape)
    assert torch.equal(masks.choose(priority, n), expected)


@pytest.mark.parametrize("pattern", ALL)
def test_one_mask_for_all_variables_or_one_each(pattern):
    space = SPACES["globe"]
    together = masks.draw((pattern,), (0.1, 0.3), draws(4), space)
    apart = masks.draw((pattern,), (0.1, 0.3), draws(4), space, per_variable=True)
    assert (together[:, 0] == together[:, 1]).all()
    assert (apart[:, 0] != apart[:, 1]).flatten(1).any(1).all()
    assert (apart[:, 0].sum((1, 2)) == together[:, 0].sum((1, 2))).all()


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_a_mask_does_not_depend_on_how_data_are_batched_nor_on_members(space):
    whole = masks.draw(ALL, (0.01, 0.5), draws(23, seed=3), space, per_variable=True)
    parts = [
        masks.draw(ALL, (0.01, 0.5), draws(n, seed=3, first=a), space, per_variable=True)
        for a, n in ((0, 1), (1, 7), (8, 15))
    ]
    assert torch.equal(whole, torch.cat(parts))
    many = RandomStreams(3, torch.arange(23), members=5)
    assert torch.equal(whole, masks.draw(ALL, (0.01, 0.5), many, space, per_variable=True))
    other = masks.draw(ALL, (0.01, 0.5), draws(23, seed=4), space, per_variable=True)
    assert (whole != other).flatten(1).any(1).sum() >= 22


def test_what_is_drawn_after_a_mask_depends_neither_on_the_other_data_nor_repeats_the_mask():
    space = SPACES["globe"]
    pair, alone = draws(8), draws(1, first=7)
    for streams in (pair, alone):
        masks.draw(ALL, (0.01, 0.5), streams, space)
    assert torch.equal(pair.uniform(4)[7], alone.uniform(4)[0])
    again = draws(8)
    first, second = (masks.draw(("random",), (0.2, 0.2), again, space) for _ in range(2))
    assert (first != second).flatten(1).any(1).all()
    streams = draws(8)
    mask = masks.draw(("random",), (0.2, 0.2), streams, space)[:, 0]
    for _ in range(8):
        assert abs(streams.uniform(24, 48)[:, 0][mask].mean() - 0.5) < 0.05  # not the numbers that chose it
    same = draws(8)
    first, second = (masks.draw(ALL, (0.01, 0.5), same.again(), space) for _ in range(2))
    assert torch.equal(first, second)
    assert len({int(n) for n in first[:, 0].sum((1, 2))}) > 4  # k and pattern are not one and the same number


def test_global_random_state_is_not_touched_and_tensors_follow_the_space():
    space, state = SPACES["globe"], torch.random.get_rng_state()
    expected = masks.draw(ALL, (0.01, 0.5), draws(12), space)
    streams = draws(12)
    with torch.device("meta"):  # a tensor made without naming its device would fail to meet the others
        mask = masks.draw(ALL, (0.01, 0.5), streams, space)
        masks.observe(torch.ones(12, 2, 24, 48, device="cpu"), mask, 0.1, streams)
    assert torch.equal(mask, expected)
    assert torch.equal(state, torch.random.get_rng_state())


def test_patterns_are_uniform_and_k_is_log_uniform():
    space = make_space(latitudes=64, columns=128, variables=1)
    chunks = [masks.draw(("random",), (0.005, 1.0), draws(250, first=250 * i), space) for i in range(8)]
    k = torch.cat([mask.float().mean((1, 2, 3)) for mask in chunks])
    log = (k.log() - math.log(0.005)) / -math.log(0.005)
    assert stats.kstest(log.numpy(), "uniform").pvalue > 0.01

    space = make_space(latitudes=8, columns=8, variables=1, region=(0, 40, 0, 40))
    full = torch.full((3000,), 0.25)
    drawn = masks.draw(("stations", "random", "blocks"), full, draws(3000), space)
    network = masks.draw(("stations",), full[:1], draws(1), space)
    count = int((drawn == network).flatten(1).all(1).sum())
    assert stats.binomtest(count, 3000, 1 / 3).pvalue > 0.01


def test_stations_stay_where_they_are_and_are_nested():
    space = SPACES["land"]
    k = torch.tensor([0.005, 0.02, 0.1, 0.4, 0.9])
    mask = masks.draw(("stations",), k, draws(5, first=100, step=9), space)[:, 0]
    for small, large in pairwise(mask):
        assert not (small & ~large).any()
    elsewhere = masks.draw(("stations",), k, draws(5, first=7), space)[:, 0]
    assert torch.equal(mask, elsewhere)
    assert not torch.equal(mask, masks.draw(("stations",), k, draws(5, seed=1), space)[:, 0])


def test_stations_are_unevenly_dense():
    space = make_space(latitudes=48, columns=96, variables=1)

    def clumping(pattern):
        """Variance over mean of the number of observed cells in boxes of 8 x 8, between 60 S and 60 N."""
        ratios = []
        for seed in range(10):
            mask = masks.draw((pattern,), torch.tensor([0.1]), draws(1, seed=seed), space)[0, 0, 8:40].float()
            boxes = mask.unfold(0, 8, 8).unfold(1, 8, 8).sum((2, 3))
            ratios.append(float(boxes.var() / boxes.mean()))
        return np.mean(ratios)

    assert clumping("stations") > 4 * clumping("random")


@pytest.mark.parametrize("pattern", [p for p in ALL if p != "stations"])
def test_every_longitude_is_as_likely_where_the_globe_wraps(pattern):
    space = make_space(latitudes=12, columns=24, variables=1)
    count, k = 4000, 0.1
    mask = masks.draw((pattern,), torch.full((count,), k), draws(count), space)[:, 0].float()
    share = mask.sum(1)  # observed cells of each longitude
    error = share.std(0) / math.sqrt(count)
    z = (share.mean(0) - share.mean()) / error
    assert z.abs().max() < 4
    together = (mask * mask.roll(1, dims=2)).sum(1)  # neighbours, also across the meridian 0
    z = (together.mean(0) - together.mean()) / (together.std(0) / math.sqrt(count))
    assert z.abs().max() < 4


@pytest.mark.parametrize("pattern", ["swaths", "blocks"])
def test_swaths_and_blocks_are_contiguous(pattern):
    space = make_space(latitudes=48, columns=96, variables=1)

    def pieces(name):
        mask = masks.draw((name,), torch.full((20,), 0.1), draws(20), space)[:, 0].numpy()
        return np.mean([ndimage.label(m)[1] for m in mask])

    assert pieces(pattern) < 0.05 * pieces("random")


def test_swaths_are_several_cells_wide_and_inclined():
    space = make_space(latitudes=48, columns=96, variables=1)
    mask = masks.draw(("swaths",), torch.full((50,), 0.05), draws(50), space)[:, 0, 16:32].numpy()
    lines = ["".join("#" if cell else "." for cell in row) for row in mask.reshape(-1, 96)]
    runs = [len(run) for line in lines for run in line.split(".") if run]
    assert 2 < np.median(runs) < 8
    shift = []  # shift of the track's centre over 10 rows, for masks with one track that crosses them
    for m in mask:
        if ndimage.label(m)[1] == 1 and m.any(1).all() and m[:, 0].sum() + m[:, -1].sum() == 0:
            centre = [np.flatnonzero(row).mean() for row in m]
            if np.ptp(np.flatnonzero(m.any(0))) < 20:
                shift.append(abs(centre[-3] - centre[2]))
    assert len(shift) > 5
    assert min(shift) > 0.5


def test_the_clouds_of_blocks_are_as_wide_at_high_latitude_as_at_the_equator():
    """Isotropic on the sphere: correlation is a function of chord distance, exp(-d^2 / (2 l^2))."""
    space = make_space(latitudes=18, columns=36, variables=1)
    field = masks.smooth_field(draws(6000), space, 1)[:, 0].flatten(1)
    points = space.points.flatten(0, 1)
    for i in (9 * 36, 2 * 36 + 17):
        correlation = (field * field[:, [i]]).mean(0)
        distance = (points - points[i]).norm(dim=-1)
        expected = torch.exp(-(distance**2) / (2 * masks.CORRELATION_LENGTH**2))
        assert (correlation - expected).abs().max() < 0.07


def test_regular_is_a_lattice_that_closes_round_the_globe():
    space = make_space(latitudes=24, columns=48, variables=1)
    every_fourth = torch.full((30,), 72 / 1152)  # 6 rows of 12
    mask = masks.draw(("regular",), every_fourth, draws(30), space)[:, 0]
    for m in mask:
        y, x = m.any(1).nonzero()[:, 0], m.any(0).nonzero()[:, 0]
        assert (y.diff() == 4).all() and (x.diff() == 4).all()
        assert len(y) == 6 and len(x) == 12
    phases = {(int(m.any(1).nonzero()[0]), int(m.any(0).nonzero()[0])) for m in mask}
    assert len(phases) > 8


@pytest.mark.parametrize(
    "k", [(0.001, 0.5), (0.1, 1.5), (0.5, 0.1), (0.0, 0.0), (math.nan, 0.5), (-1.0, 0.5)]
)
def test_a_share_out_of_range_is_refused(k):
    with pytest.raises(InputError, match=r"k: .* is not a range"):
        masks.draw(("random",), k, draws(2), SPACES["globe"])
    with pytest.raises(InputError, match=r"k: .* is not a range"):
        masks.draw(("random",), torch.tensor([0.1, 2.0]), draws(2), SPACES["globe"])


def test_an_unknown_pattern_is_refused_naming_the_nearest():
    with pytest.raises(InputError, match="did you mean 'swaths'"):
        masks.draw(("random", "swath"), (0.1, 0.2), draws(2), SPACES["globe"])


def test_observations_are_the_truth_plus_noise_and_zero_elsewhere():
    space = SPACES["land"]
    x = torch.linspace(-1, 1, 40 * 2 * 24 * 48).reshape(40, *space.state_shape)
    x[..., ~space.exists] = math.nan
    mask = masks.draw(ALL, (0.05, 1.0), draws(40), space)
    exact = masks.observe(x, mask, 0.0, draws(40))
    assert torch.equal(exact, torch.where(mask, x, 0.0))
    noisy = masks.observe(x, mask, 0.3, draws(40))
    assert (noisy[~mask] == 0).all()
    eps = ((noisy - x)[mask] / 0.3).numpy()
    assert stats.kstest(eps, "norm").pvalue > 0.01
    assert torch.equal(noisy[9:12], masks.observe(x[9:12], mask[9:12], 0.3, draws(3, first=9)))


@pytest.mark.parametrize("shape", [(1, 16), (16, 1), (1, 1)])
def test_a_grid_of_one_row_or_column_has_swaths(shape):
    region = (30.0, 60.0 if shape[0] > 1 else 30.0, 0.0, 40.0 if shape[1] > 1 else 0.0)
    space = make_space(latitudes=shape[0], columns=shape[1], variables=1, region=region)
    mask = masks.draw(("swaths",), torch.full((20,), 0.5), draws(20), space)
    assert mask.flatten(1).sum(1).tolist() == [max(1, shape[0] * shape[1] // 2)] * 20


class Scalars(TorchDispatchMode):
    """Number of operations that hand a number to Python: each waits for the device."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += any(name in str(func) for name in ("_local_scalar_dense", "nonzero"))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_masks_on_an_accelerator_are_those_of_a_cpu_and_need_no_synchronisation(space, monkeypatch):
    """No size or number depends on the draws, which the CPU shows, too, with the branch of accelerators."""
    of_cpu = masks.draw((*ALL, "random"), (0.01, 0.5), draws(32, step=1), space)
    monkeypatch.setattr(masks, "by_index", masks.by_choice)
    assert torch.equal(masks.draw((*ALL, "random"), (0.01, 0.5), draws(32, step=1), space), of_cpu)
    with Scalars() as scalars:
        masks.draw(ALL, (0.01, 0.5), draws(32, step=1), space)
    assert scalars.count == 0
