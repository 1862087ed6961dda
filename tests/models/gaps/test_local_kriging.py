"""Kriging from the nearest observations: scikit-learn, exact covariances and a correlation recovered as oracles."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern, WhiteKernel

from fieldcast import runtime
from fieldcast.models.gaps import local_kriging
from fieldcast.models.gaps.fillers import FILLERS
from fieldcast.models.gaps.held_out import HeldOut, hold_out_values
from fieldcast.models.gaps.in_time import elapsed_steps
from fieldcast.models.gaps.local_kriging import (
    CellSeries,
    Correlation,
    KrigingModel,
    UnconditionalField,
    draws_per_value,
    fit_kriging,
    predict,
)
from fieldcast.models.gaps.reach import Columns
from fieldcast.models.gaps.record import Record
from fieldcast.models.random_streams import RandomStreams

TIMES, CELLS = 200, 60
CORRELATION = Correlation(0.3, 2.0, 0.05, 1.5)


def series(times: int, missing: float, seed: int = 0, c: Correlation = CORRELATION) -> CellSeries:
    """A field with the correlation c, on cells scattered over a part of the sphere, some at random missing."""
    generator = torch.Generator().manual_seed(seed)
    point = torch.randn(CELLS, 3, generator=generator, dtype=torch.float64) * 0.3 + torch.tensor(
        [1.0, 0.0, 0.0]
    )
    point /= point.norm(dim=1, keepdim=True)
    observed = torch.rand(times, CELLS, generator=generator) >= missing
    empty = CellSeries(
        torch.zeros(times, CELLS), observed, elapsed_steps(torch.zeros(times, dtype=torch.long)), point
    )
    streams = RandomStreams(seed, torch.arange(times))
    return empty._replace(x=UnconditionalField.of(c, empty, streams)(empty, slice(0, times))[:, 0])


def test_mean_spread_and_members_are_those_of_a_gaussian_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given all observations; scikit-learn has the kernel in the same coordinates."""
    s = series(6, 0.5)
    monkeypatch.setattr(local_kriging, "NEIGHBOURS", int(s.observed.sum()) + 1)
    monkeypatch.setattr(local_kriging, "REACH_IN_TAU", 100.0)
    monkeypatch.setattr(local_kriging, "WAVES", 4000)
    mean, spread = torch.zeros(6, CELLS, dtype=torch.float64), torch.ones(6, CELLS, dtype=torch.float64)
    members, draws = mean.new_zeros(6, 4000, CELLS), RandomStreams(2, torch.arange(6), 4000)
    predict(s, KrigingModel(CORRELATION), ~s.observed, draws, mean, spread, members)
    coordinates = CORRELATION.scaled(
        s.coordinates(*torch.meshgrid(torch.arange(6), torch.arange(CELLS), indexing="ij"))
    ).numpy()
    o = s.observed.numpy()
    kernel = 0.95 * Matern(1.0, nu=1.5) + WhiteKernel(0.05)
    process = GaussianProcessRegressor(kernel, alpha=0.0, optimizer=None).fit(coordinates[o], s.x.numpy()[o])
    expected, covariance = process.predict(
        coordinates[~o], return_cov=True
    )  # variance of new observations, with their noise
    assert np.allclose(mean.numpy()[~o], expected, atol=1e-4)
    assert np.allclose(spread.numpy()[~o], np.sqrt(np.diag(covariance)), atol=1e-4)
    drawn = members.permute(0, 2, 1).numpy()[~o]
    assert np.allclose(drawn.mean(1), expected, atol=0.1)
    together = np.cov(drawn)
    assert np.allclose(together, covariance, atol=0.1)
    shared = covariance[np.triu_indices_from(covariance, 1)]
    assert abs(shared).max() > 0.2  # neighbours are drawn jointly
    assert np.polyfit(shared, together[np.triu_indices_from(covariance, 1)], 1)[0] == pytest.approx(
        1, abs=0.1
    )


@pytest.mark.parametrize("smoothness", [0.5, 1.5, 2.5])
def test_free_fields_have_the_correlation(smoothness: float) -> None:
    """The mean over many waves and members; the nugget is the variance that neighbours do not share."""
    c = CORRELATION._replace(smoothness=smoothness)
    s = series(5, 0.0)
    free = UnconditionalField.of(c, s, RandomStreams(1, torch.arange(5), 4000))
    z = free(s, slice(0, 5)).double()
    time, cell = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 3, 7, 0])
    values = z[time, :, cell]
    place = s.coordinates(time, cell)
    expected = c(place, place) + c.nugget * torch.eye(4)
    assert torch.allclose(values @ values.T / 4000, expected, atol=0.12)  # 500 waves: .045, three times
    assert torch.equal(free(s, slice(3, 5)), z[3:].float())


@pytest.mark.parametrize("c", [CORRELATION, Correlation(0.12, 5.0, 0.15, 0.5)])
def test_the_correlation_is_recovered_and_errors_are_as_large_as_claimed(c: Correlation) -> None:
    s = series(TIMES, 0.0, seed=2, c=c)
    generator = torch.Generator().manual_seed(0)
    centre = s.point[torch.randint(CELLS, (TIMES,), generator=generator)]
    observed = torch.cdist(centre, s.point) > 0.25
    record = record_of(s, observed)
    model = fit_kriging(
        s._replace(observed=observed), hold_out_values(record, 0), 1.0, 10.0
    )  # lengths far from the true ones
    fitted = model.correlation
    assert model.power < 0.3  # the variance is the same everywhere
    assert fitted.space == pytest.approx(c.space, rel=0.25) and fitted.time == pytest.approx(c.time, rel=0.25)
    assert fitted.nugget == pytest.approx(c.nugget, abs=0.04)
    assert (fitted.smoothness > 0.5) == (c.smoothness > 0.5)
    streams = RandomStreams(0, torch.arange(TIMES), 40)
    filled = FILLERS["local_kriging"](record, streams)
    error, spread = (filled.mean - s.x)[~observed], filled.spread[~observed]
    assert float(error.square().mean().sqrt() / spread.square().mean().sqrt()) == pytest.approx(1, abs=0.1)
    departure = (filled.members - filled.mean[:, None]).permute(0, 2, 1)[~observed]
    assert float(departure.square().mean().sqrt() / spread.square().mean().sqrt()) == pytest.approx(
        1, abs=0.06
    )


def test_values_are_drawn_in_proportion_to_their_weights() -> None:
    """Systematic sampling: no count differs from its expectation by one or more."""
    weight = torch.rand(700, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 4
    weight[::5] = 0.0
    count = draws_per_value(weight)
    assert int(count.sum()) == local_kriging.DRAWN_TARGETS and not count[::5].any()
    assert float((count - local_kriging.DRAWN_TARGETS * weight / weight.sum()).abs().max()) < 1


def test_lengths_stay_as_given_where_hardly_any_value_is_held_out() -> None:
    s = series(30, 0.3)
    held_out = hold_out_values(record_of(s, s.observed), 0)
    some = torch.arange(local_kriging.MIN_TARGETS - 1)
    few = HeldOut(held_out.shape, *(part[some] for part in (
        held_out.time, held_out.cell, held_out.truth, held_out.whole, held_out.group, held_out.area, held_out.weight
    )))  # fmt: skip
    c = fit_kriging(s, few, 0.2, 7.0).correlation
    assert float(c.space) == pytest.approx(0.2) and float(c.time) == pytest.approx(7.0)


def record_of(s: CellSeries, observed: torch.Tensor) -> Record:
    columns = Columns(s.point.numpy(), torch.zeros(CELLS, dtype=torch.long), torch.ones(CELLS))
    return Record(s.x, observed, torch.zeros(len(observed), dtype=torch.long), columns)


def test_errors_are_as_large_as_claimed_in_quiet_and_in_stormy_weeks() -> None:
    """Their deviations are 1.34 and .45 of the common one: errors of a single scale would miss both by as much."""
    s = series(TIMES, 0.0, seed=4)
    stormy = (torch.arange(TIMES) // 10 % 2 == 1)[:, None].expand(-1, CELLS)
    s = s._replace(x=s.x * torch.where(stormy, 1.8, 0.6))
    generator = torch.Generator().manual_seed(0)
    centre = s.point[torch.randint(CELLS, (TIMES,), generator=generator)]
    observed = torch.cdist(centre, s.point) > 0.25
    filled = FILLERS["local_kriging"](record_of(s, observed), RandomStreams(0, torch.arange(TIMES), 20))
    departure = (filled.members - filled.mean[:, None]).square().mean(1).sqrt()
    for weeks in (stormy, ~stormy):
        here = weeks & ~observed
        error = (filled.mean - s.x)[here].square().mean().sqrt()
        for reported in (filled.spread, departure):
            assert 0.8 < float(reported[here].square().mean().sqrt() / error) < 1.5


def test_only_requested_values_are_filled_and_segments_do_not_see_each_other() -> None:
    s = series(40, 0.4, seed=3)
    columns = Columns(s.point.numpy(), torch.zeros(CELLS, dtype=torch.long), torch.ones(CELLS))
    record = Record(s.x, s.observed, torch.arange(40) // 20, columns)
    whole = FILLERS["local_kriging"](record, None)
    requested = torch.zeros_like(s.observed)
    requested[5:8] = True
    part = FILLERS["local_kriging"](replace(record, requested=requested), None)
    assert torch.equal(part.mean[5:8], whole.mean[5:8])
    left = requested.logical_not() & ~s.observed
    assert not part.mean[left].any() and (whole.mean[left] != 0).any()
    apart = s._replace(step=elapsed_steps(record.segment))
    means = []
    for change in (0.0, 5.0):
        x = s.x.clone()
        x[20:] += change
        mean, spread = torch.zeros_like(x), torch.ones_like(x)
        predict(
            apart._replace(x=x),
            KrigingModel(CORRELATION),
            ~s.observed,
            None,
            mean,
            spread,
            mean[:, None][:, :0],
        )
        means.append(mean)
    assert torch.equal(means[0][:20], means[1][:20]) and not torch.equal(means[0][20:], means[1][20:])


def test_the_time_of_a_value_leaves_out_that_of_the_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prediction of few values needs as many trees as one of all."""
    s, pause = series(40, 0.4), 0.2
    mean = torch.zeros_like(s.x)

    def slow(*given: Any, **options: Any) -> cKDTree:
        time.sleep(pause)
        return cKDTree(*given, **options)

    monkeypatch.setattr(local_kriging, "cKDTree", slow)
    requested = ~s.observed
    predict(s, KrigingModel(CORRELATION), requested, None, mean, torch.ones_like(mean), mean[:, None][:, :0])
    windows = len([*local_kriging.windows(s.step, CORRELATION)])
    of_values = runtime.seconds_of(local_kriging.VALUE) * int(requested.sum())
    assert windows > 2 and 0 < of_values < windows * pause / 2


def test_blocks_in_several_threads_give_the_numbers_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_kriging, "TARGETS_PER_BLOCK", 7)
    monkeypatch.setattr(local_kriging, "FITTED_PER_BLOCK", 7)
    monkeypatch.setattr(local_kriging, "MIN_TARGETS", 7)
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((30, 12)).astype(np.float32))
    observed = torch.from_numpy(rng.random((30, 12)) < 0.5)
    angle = torch.linspace(0, 0.2, 12, dtype=torch.float64)
    points = torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)], dim=1)
    series = CellSeries(x, observed, torch.arange(30, dtype=torch.float64), points)
    model = KrigingModel(Correlation(0.1, 3.0, 0.05, 1.5), 0.25)
    streams = RandomStreams(0, torch.arange(30), 2)
    row, cell = (torch.from_numpy(rng.random((30, 12)) < 0.3) & observed).nonzero(as_tuple=True)
    of_value = torch.ones(len(row), dtype=torch.float64)
    held_out = HeldOut(
        (30, 12), row.int(), cell.int(), x[row, cell], of_value > 2, -row, of_value, of_value / len(row)
    )
    results, fits, before = [], [], torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        filled = torch.zeros(30, 12), torch.zeros(30, 12), torch.zeros(30, 2, 12)
        try:
            predict(series, model, ~observed, streams, *filled)
            fits.append(fit_kriging(series, held_out, 0.1, 3.0).packed())
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
        results.append(filled)
    assert torch.equal(*fits) and not torch.equal(fits[0][:2], torch.tensor([0.1, 3.0]).to(fits[0]))
    assert all(map(torch.equal, *results)) and bool(results[0][2][~observed[:, None].expand(-1, 2, -1)].all())

    def fail(*_: object) -> None:
        raise ValueError("in a block")

    monkeypatch.setattr(local_kriging.Targets, "conditional", fail)
    with pytest.raises(ValueError, match="in a block"):
        predict(series, model, ~observed, None, *filled)
