"""A Space moves with its model and leaves no trace in what is stored of it."""

from datetime import timedelta

import cftime
import pytest
import torch

from fieldcast import calendars
from fieldcast.models.configuration import build
from fieldcast.models.core import Context
from fieldcast.models.random_streams import RandomStreams


def test_every_part_of_a_model_moves_with_it(space):
    config = {"type": "stepped.Stepped", "model": {"type": "vae.ConditionalVAE", "latent": 3, "history": 1}}
    model = build(config, space).to("meta")
    tensors = [
        model.space.area,
        model.model.encoder.space.static,
        model.model.decoder.space.points,
        model.scale,
    ]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_an_interpolation_stays_on_the_processor(space):
    """Interpolations use the triangles and trees of numpy and scipy."""
    model = build({"type": "interpolation.ThinPlate"}, space.replace())
    model.to("meta")
    assert model.smoothing.device.type == "meta" and model.grid.points.device.type == "cpu"


def test_weights_hold_nothing_of_it(space):
    model = build({"type": "vae.ConditionalVAE", "latent": 3}, space)
    assert not any("space" in name for name in [*model.state_dict(), *dict(model.named_parameters())])


def test_replaced_parts_belong_to_another_space(space):
    exists = torch.zeros_like(space.exists)
    exists[2] = True
    other = space.replace(exists=exists, step=6.0)
    assert (other.variables, other.wraps, other.state_shape) == (
        space.variables,
        space.wraps,
        space.state_shape,
    )
    assert int(other.size) == 2 * 16 and other.step_years == pytest.approx(6 / 24 / 365)
    assert float(other.weight.sum()) == pytest.approx(16 * float(space.area[2, 0]) / 16)
    assert bool(space.exists.all()) and space.step == 0


@pytest.mark.parametrize("calendar", ["360_day", "noleap", "all_leap"])
def test_the_days_of_a_rollout_are_those_of_its_times(space, calendar):
    """Two years of daily steps; the day of the year would be ten days off if each were 1/365 of a year of 360.

    29 February, which counts as 28 February, may shift it by a day.
    """
    day = space.replace(step=24.0, days_per_year=calendars.days_per_year(calendar))
    start = cftime.datetime(2001, 2, 30 if calendar == "360_day" else 28, calendar=calendar)
    c = Context(1, past=torch.zeros(1, 1, *space.state_shape), day=days_of(start))
    for _ in range(720):
        c = c.advance(c.past[:, -1], day.step_years)
    assert float(c.day) == pytest.approx(float(days_of(start + timedelta(days=720))), abs=1.1 / 365)


def days_of(time):
    return torch.from_numpy(calendars.fraction_of_year([time])).float()


def test_a_month_is_a_twelfth_of_any_year(space):
    for year in (360, 365):
        assert space.replace(step=2190.0, months=3, days_per_year=year).step_years == 0.25


def test_a_copy_draws_the_same(space):
    import copy

    model = build({"type": "climatology.Climatology"}, space)
    c, draws = Context(2), RandomStreams(0, torch.arange(2), 3)
    assert torch.equal(copy.deepcopy(model).sample(c, draws), model.sample(c, draws))
