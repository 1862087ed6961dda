"""A record of drifting waves with gaps in blobs: every filler beats linear interpolation in time, and says how well."""

from dataclasses import replace

import pytest
import torch

from fieldcast.models.gaps import fillers
from fieldcast.models.gaps.fillers import FILLERS
from fieldcast.models.gaps.held_out import hold_out_values
from fieldcast.models.gaps.in_time import linear_in_time
from fieldcast.models.gaps.reach import Columns, nearest_observation
from fieldcast.models.gaps.record import Parameters, Record
from fieldcast.models.gaps.trial import error_statistics, run_trial, with_fitted_spread
from fieldcast.models.random_streams import RandomStreams

TIMES, CELLS, MEMBERS = 320, 48, 6


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    """Five damped, turning modes and a little noise."""
    generator = torch.Generator().manual_seed(1)
    patterns = torch.randn(10, CELLS, generator=generator)
    z = torch.zeros(TIMES, 5, dtype=torch.complex64)
    speed = torch.polar(torch.full((5,), 0.95), torch.linspace(0.1, 0.7, 5))
    for t in range(1, TIMES):
        z[t] = speed * z[t - 1] + 0.3 * torch.randn(5, generator=generator, dtype=torch.complex64)
    return torch.view_as_real(z).flatten(1) @ patterns + 0.2 * torch.randn(TIMES, CELLS, generator=generator)


@pytest.fixture(scope="module")
def columns() -> Columns:
    angle = torch.arange(CELLS) * (2 * torch.pi / CELLS)
    points = torch.stack([angle.cos(), angle.sin(), torch.zeros(CELLS)], 1).numpy()
    return Columns(points, torch.zeros(CELLS, dtype=torch.long), torch.ones(CELLS))


@pytest.fixture(scope="module")
def record(truth: torch.Tensor, columns: Columns) -> Record:
    """60 % of each time held out in stretches of neighbouring cells; some whole times, and one cell, never observed."""
    generator = torch.Generator().manual_seed(2)
    start = torch.randint(0, CELLS, (TIMES, 1), generator=generator)
    observed = (torch.arange(CELLS) - start) % CELLS >= int(0.6 * CELLS)
    observed[50:53], observed[:, 7] = False, False
    return Record(truth.where(observed, torch.nan), observed, torch.arange(TIMES) // 160, columns)


@pytest.mark.parametrize("name", FILLERS)
def test_records_are_filled_better_than_linearly_in_time(
    name: str, record: Record, truth: torch.Tensor
) -> None:
    columns, selections, trials = record.columns, [hold_out_values(record, seed) for seed in range(3)], []
    for selection in selections:
        left = replace(record, observed=record.observed & ~selection.mask)
        trials.append(run_trial(name, FILLERS[name], left, selection))
    filled = FILLERS[name](record, RandomStreams(0, torch.arange(TIMES), MEMBERS))
    distance = nearest_observation(record.observed, columns, ~record.observed)
    filled = with_fitted_spread(filled, error_statistics(trials, selections).variances, record, distance)
    assert filled.members.shape == (TIMES, MEMBERS, CELLS)
    for values in (filled.mean, filled.members[:, 3]):
        assert torch.equal(values[record.observed], truth[record.observed]) and values.isfinite().all()
    assert not filled.spread[record.observed].any() and (filled.spread[~record.observed] > 0).all()
    held_out = ~record.observed
    held_out[:, 7] = False
    if name not in ("dineof", "local_kriging"):  # the climatology in a cell never observed
        assert not filled.mean[:, 7].any()
    if name != "modal_smoother":
        held_out[50:53] = False
    error = (filled.mean - truth)[held_out].square().mean().sqrt()
    in_time = linear_in_time(record.x, record.observed, torch.arange(TIMES).double())
    linear = (in_time - truth)[held_out].square().mean().sqrt()
    # neighbours say nothing here: patterns are random from cell to cell
    assert float(error / linear) < {"modal_smoother": 0.6, "red_noise": 1.0, "local_kriging": 1.05}.get(
        name, 0.9
    )
    spread = filled.spread[held_out].square().mean().sqrt()
    drawn = filled.members.var(1)[held_out].mean().sqrt()
    assert float(drawn / spread) == pytest.approx(1, abs=0.1)
    # 75 gaps determine the spread to 10 % or so
    assert 0.8 < float(spread / error) < 1.2, name


@pytest.mark.parametrize("name", FILLERS)
def test_members_filled_in_two_batches_are_those_filled_together(name: str, record: Record) -> None:
    times = torch.arange(TIMES)
    together = FILLERS[name](record, RandomStreams(0, times, 3)).members
    batches = [RandomStreams(0, times, 1), RandomStreams(0, times, 2, first=1)]
    separate = torch.cat([FILLERS[name](record, draws).members for draws in batches], dim=1)
    torch.testing.assert_close(separate, together, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FILLERS)
def test_a_fit_forgets_values_that_the_fit_where_it_begins_had(name: str, columns: Columns) -> None:
    """A prediction of noise is off by a standard deviation or more, as no value tells another."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(TIMES, CELLS, generator=generator)
    observed = torch.rand(x.shape, generator=generator) < 0.6
    noise = Record(x, observed, torch.zeros(TIMES, dtype=torch.long), columns)
    start: Parameters = {}
    FILLERS[name](noise, None, start)
    hidden = observed & (torch.rand(x.shape, generator=generator) < 0.2)
    left = replace(noise, observed=observed & ~hidden)
    error = (FILLERS[name](left, None, start=start).mean - x)[hidden]
    assert float(error.square().mean().sqrt() / x[hidden].square().mean().sqrt()) > 0.995


def test_kriging_of_two_variables_does_not_begin_with_the_parameters_of_one(record: Record) -> None:
    """A sample of a race may lack a variable that the next one has, and numbers those that it has anew."""
    both = record.columns._replace(variable=(torch.arange(CELLS) >= CELLS // 2).long())
    two, one, alone = replace(record, columns=both), Parameters(), Parameters()
    kriging = FILLERS["local_kriging"]
    kriging(two.of_columns(torch.arange(CELLS // 2, CELLS)), None, one)
    kriging(two, None, alone)
    started = Parameters()
    kriging(two, None, started, start=one)
    assert [*one] == ["kriging.0"] and {*started} == {*alone} == {"kriging.0", "kriging.1"}
    for name, numbers in alone.items():
        torch.testing.assert_close(started[name], numbers, rtol=0, atol=0)


def test_modes_are_fitted_once_for_the_two_methods_that_use_them(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[object] = []
    monkeypatch.setattr(
        fillers, "fit_thinned", lambda *args, fit=fillers.fit_thinned: fits.append(args) or fit(*args)
    )
    same = replace(record)
    alone = FILLERS["low_rank"](replace(record), None)
    FILLERS["modal_smoother"](same, None)
    assert torch.equal(FILLERS["low_rank"](same, None).mean, alone.mean) and len(fits) == 2
