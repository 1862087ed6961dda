"""The hybrid filter against closed forms: one variance, one observation, one day; and a cycle of a linear system."""

import math
from collections.abc import Callable

import pytest
import torch

from fieldcast.models.assimilation.filter import SCALES, CycleState, cycle
from fieldcast.models.assimilation.hybrid import EnsembleOptimalInterpolation, Hybrid
from fieldcast.models.core import Context
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

MEMBERS, NOISE = 400, 0.5


def white(space: Space, count: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(count, *space.state_shape, generator=torch.Generator().manual_seed(seed))


def context(space: Space, y: torch.Tensor, share: float = 0.3, noise: float = NOISE) -> Context:
    mask = torch.rand(y.shape, generator=torch.Generator().manual_seed(9)) < share
    return Context(
        len(y), observed=torch.where(mask, y, 0.0), mask=mask, day=torch.zeros(len(y)), noise=noise
    )


def stay(c: Context, streams: RandomStreams) -> torch.Tensor:
    """A forecast that persists."""
    assert c.past is not None
    return c.past[:, -1][:, None]


def hybrid(space: Space, errors: torch.Tensor, **values: float) -> Hybrid:
    filter_ = Hybrid(space)
    filter_.fill_pool(errors)
    filter_.choose(**{"weight": 0.0, "taper": 0.0, "floor": 0.0, **values})
    return filter_


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_the_analysis_is_that_of_the_dense_kalman_gain(space: Space, weight: float) -> None:
    """x_a - x_b = K (y + eps - H x_b), with B = s ((1 - w) S + w T' o S') formed as a whole."""
    filter_ = hybrid(space, white(space, 50, 1), weight=weight)
    filter_.adaptive = False
    n = math.prod(space.state_shape)
    mean, deviations = white(space, 1, 2), white(space, 12, 3, 0.7)[None]
    deviations = deviations - deviations.mean(1, keepdim=True)
    c = context(space, white(space, 1, 4))
    memory = {**filter_.begin(1), "mean": mean, "deviations": deviations}
    streams = RandomStreams(0, torch.arange(1), MEMBERS)
    background = mean[:, None].expand(-1, MEMBERS, -1, -1, -1)
    analysis, _ = filter_.update(background, c, memory, streams)

    sample = filter_.errors.flatten(1).double()
    ensemble = deviations[0].flatten(1).double()
    taper = filter_._kernel(6000.0).correlations_of(torch.arange(n // 2)).double().repeat(2, 2)
    b = (1 - weight) * sample.T @ sample / 50 + weight * taper * (ensemble.T @ ensemble) / 11
    h = torch.eye(n, dtype=torch.double)[c.mask.flatten()]
    gain = b @ h.T @ torch.linalg.inv(h @ b @ h.T + NOISE**2 * torch.eye(len(h), dtype=torch.double))
    departure = c.observed.flatten().double()[c.mask.flatten()] - h @ mean.flatten().double()
    expected = mean.flatten().double() + gain @ departure
    error = analysis[0].flatten(1).double().mean(0) - expected
    spread = (gain @ gain.T).diagonal().sqrt() * NOISE  # spread from the perturbed observations
    assert error.abs().max() < 5 * spread.max() / MEMBERS**0.5
    assert (analysis[0].flatten(1).double() - expected).square().mean(0) == pytest.approx(
        spread.square().numpy(), rel=0.5, abs=1e-3
    )


def test_forecasts_start_around_the_mean_of_the_analysis_without_sampling_error(space: Space) -> None:
    """The mean of what three members are forecast from is f_bar + K (y - H f_bar) with the dense K, exactly."""
    filter_ = hybrid(space, white(space, 50, 1))
    filter_.adaptive = False
    means: list[torch.Tensor] = []

    def recorded(c: Context, streams: RandomStreams) -> torch.Tensor:
        assert c.past is not None
        means.append(c.past[:, -1].mean(0).flatten().double())
        return stay(c, streams)

    c, start = (
        context(space, white(space, 1, 4)),
        CycleState(white(space, 3, 2)[None, :, None], filter_.begin(1)),
    )
    list(cycle(filter_, recorded, [c, c], start, RandomStreams(0, torch.arange(1), 3)))

    sample, mask = filter_.errors.flatten(1).double(), c.mask.flatten()
    b = sample.T @ sample / 50
    hbh = b[mask][:, mask] + NOISE**2 * torch.eye(int(mask.sum()), dtype=torch.double)
    innovation = c.observed.flatten().double()[mask] - means[0][mask]
    torch.testing.assert_close(
        means[1], means[0] + b[:, mask] @ torch.linalg.solve(hbh, innovation), rtol=1e-4, atol=1e-4
    )


def test_a_climatological_sample_gives_optimal_interpolation(space: Space) -> None:
    """Zero background and the sample of training days: one update, the same gain."""
    training = white(space, 60, 5)
    filter_ = hybrid(space, training)
    interpolation = OptimalInterpolation(space)
    interpolation.keep(filter_.errors, torch.full((60,), torch.nan))
    interpolation.choose(weight=1.0, taper=0.0, nugget=0.0, floor=0.0)
    c, draws = context(space, white(space, 1, 6)), RandomStreams(1, torch.arange(1), 8)
    background = white(space, 8, 7)[None]
    background = background - background.mean(1, keepdim=True)
    memory = {
        **filter_.begin(1), "mean": torch.zeros(1, *space.state_shape), "deviations": torch.zeros_like(background)
    }  # fmt: skip
    filter_.adaptive = False
    mean = filter_.update(background, c, memory, draws)[0].mean(1)
    other = interpolation.analyse(c, draws, torch.zeros(1, *space.state_shape), background)[0]
    errors = (mean - other).square().mean().sqrt()
    assert errors < 0.35 * NOISE  # the mean of eight perturbations; the gains agree in the test above


def test_innovations_find_the_scale_of_the_background_errors(space: Space) -> None:
    """Forecasts whose errors are three times those of the sample: s = 9."""
    filter_ = hybrid(space, white(space, 200, 8))
    kept = {"mean": torch.zeros(1, *space.state_shape), "deviations": torch.zeros(1, 4, *space.state_shape)}
    memory = {**filter_.begin(1), **kept}
    background = torch.zeros(1, 4, *space.state_shape)
    for day in range(60):
        c = context(space, white(space, 1, 100 + day, 3.0) + white(space, 1, 200 + day, NOISE))
        _, memory = filter_.update(background, c, {**memory, **kept}, RandomStreams(2, torch.arange(1), 4))
    assert float(memory["scale"]) == pytest.approx(SCALES[1], rel=0.01)  # beyond the largest
    memory = {**filter_.begin(1), **kept}
    for day in range(60):
        c = context(space, white(space, 1, 100 + day, 1.5) + white(space, 1, 200 + day, NOISE))
        _, memory = filter_.update(background, c, {**memory, **kept}, RandomStreams(2, torch.arange(1), 4))
    assert float(memory["scale"]) == pytest.approx(2.25, rel=0.1)


def test_without_observations_the_background_stays(space: Space) -> None:
    filter_ = hybrid(space, white(space, 30, 1))
    background = white(space, 4, 2)[None]
    c = context(space, white(space, 1, 3), share=0.0)
    memory = {
        **filter_.begin(1), "mean": background.mean(1), "deviations": torch.zeros_like(background)
    }  # fmt: skip
    analysis, later = filter_.update(background, c, memory, RandomStreams(0, torch.arange(1), 4))
    torch.testing.assert_close(analysis, background)
    assert float(later["scale"]) == 1.0


@pytest.mark.parametrize("kind", [Hybrid, EnsembleOptimalInterpolation])
def test_a_cycle_tracks_a_persistent_state(space: Space, kind: Callable[..., Hybrid]) -> None:
    """Persistence of a constant truth: after many days the error is far below that of an observation."""
    filter_ = kind(space)
    filter_.fill_pool(white(space, 400, 1))
    filter_.choose(taper=0.0)
    truth = white(space, 2, 2)
    contexts = (context(space, truth + white(space, 2, 50 + day, NOISE), share=1.0) for day in range(40))
    past = white(space, 16, 3).unflatten(0, (2, 8))[:, :, None]
    streams = RandomStreams(4, torch.arange(2), 8)
    *_, last = cycle(filter_, stay, contexts, CycleState(past, filter_.begin(2)), streams)
    error = (last.analysis.mean(1) - truth).square().mean().sqrt()
    assert error < 0.6 * NOISE


def test_draws_of_a_cycle_depend_neither_on_the_batch_nor_on_interruptions(space: Space) -> None:
    filter_ = hybrid(space, white(space, 40, 1), weight=0.2)
    y = white(space, 12, 2).unflatten(0, (6, 2))
    contexts = [context(space, day) for day in y]
    past = white(space, 10, 3).unflatten(0, (2, 5))[:, :, None]

    def days(contexts: list[Context], state: CycleState, data: list[int], first: int = 1) -> list:
        return list(cycle(filter_, stay, contexts, state, RandomStreams(4, torch.tensor(data), 5), first))

    together = days(contexts, CycleState(past, filter_.begin(2)), [0, 1])
    alone = days([c[1:2] for c in contexts], CycleState(past[1:], filter_.begin(1)), [1])
    torch.testing.assert_close(together[-1].analysis[1], alone[-1].analysis[0], atol=1e-4, rtol=1e-4)
    begun = days(contexts[:3], CycleState(past, filter_.begin(2)), [0, 1])
    resumed = days(contexts[3:], begun[-1].state, [0, 1], first=4)
    assert torch.equal(together[-1].analysis, resumed[-1].analysis)
