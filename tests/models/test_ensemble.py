import pytest
import torch
import xarray as xr
from scores.probability import crps_for_ensemble

from fieldcast.errors import InputError
from fieldcast.models.core import Batch, Context
from fieldcast.models.ensemble import Ensemble, contrast_crps, pairs_of
from fieldcast.models.random_streams import RandomStreams


def network(space, **options):
    """Network without layers that are zero: as built, every draw is zero."""
    torch.manual_seed(0)
    model = Ensemble(space, history=2, noise=8, channels=(16, 32), **options).eval()
    for weight in model.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return model


def context(space, count=3):
    generator = torch.Generator().manual_seed(1)
    past = torch.randn(count, 2, *space.state_shape, generator=generator)
    return Context(count, past=past, day=torch.linspace(0, 1, count))


@pytest.mark.parametrize("fields", [0, 3])
def test_a_draw_depends_on_its_datum_and_member_and_on_nothing_else_in_the_batch(space, fields):
    model, c = network(space, fields=fields), context(space)
    x = model.sample(c, RandomStreams(0, torch.arange(3), 4))
    alone = model.sample(c[torch.tensor([2])], RandomStreams(0, torch.tensor([2]), 4))
    assert torch.allclose(x[2:], alone, atol=1e-6)
    records = model.sample(c.repeat(4), RandomStreams(0, torch.arange(3), 4).per_row())
    assert torch.allclose(records[:, 0].unflatten(0, (3, 4)), x, atol=1e-6)
    assert x.std(dim=1).min() > 0


def test_the_share_of_the_numbers_that_lasts_is_the_same_at_every_lead(space):
    c, draws = context(space), RandomStreams(0, torch.arange(3), 4)
    for persistent_noise in (0.5, 1.0):
        model = network(space, persistent_noise=persistent_noise, noise_decorrelation_days=1e9)
        first, fifth = (model.sample(c, draws.at_lead(lead)) for lead in (1, 5))
        assert torch.allclose(first, fifth, atol=1e-5) == (persistent_noise == 1.0)
        assert model.red == 8 * persistent_noise
    fading = network(space, persistent_noise=1.0, noise_decorrelation_days=1.0)
    first, fifth = (fading.sample(c, draws.at_lead(lead)) for lead in (1, 5))
    assert not torch.allclose(first, fifth, atol=1e-2)


def test_fields_of_noise_are_new_at_every_step(space):
    """All numbers last for ever here: what differs between leads is the fields."""
    c, draws = context(space), RandomStreams(0, torch.arange(3), 4)
    model = network(space, persistent_noise=1.0, noise_decorrelation_days=1e9, fields=3)
    first, fifth = (model.sample(c, draws.at_lead(lead)) for lead in (1, 5))
    assert not torch.allclose(first, fifth, atol=1e-4)


def test_the_memory_is_in_days_whatever_the_step(sized):
    space = sized(variables=1, latitudes=4, columns=8)
    steps = [
        Ensemble(space.replace(step=step), noise_decorrelation_days=5.0).decorrelation_steps
        for step in (24.0, 6.0, 0.0)
    ]
    assert steps == [5.0, 20.0, 5.0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"persistent_noise": 1.5}, r"persistent_noise is 1\.5: give a share of the noise, from 0 to 1"),
        ({"contrasts": 1}, "contrasts is 1: give a share of the loss, from 0 to less than 1"),
        ({"noise_decorrelation_days": 0}, "noise_decorrelation_days is 0: give a number of days above 0"),
    ],
)
def test_a_share_that_is_none_and_no_memory_are_refused(space, wrong, message):
    with pytest.raises(InputError, match=message):
        Ensemble(space, **wrong)


def test_contrasts_need_two_cells(sized):
    space = sized(variables=1, latitudes=3, columns=4)
    alone = space.replace(wraps=False, exists=torch.eye(3, 4, dtype=torch.bool))
    with pytest.raises(
        InputError, match=r"contrasts is 0\.3, but no two cells .* 1, 2, 4, 8 cells apart: set it to 0"
    ):
        Ensemble(alone, contrasts=0.3)


def test_the_loss_is_the_area_weighted_fair_crps(space):
    model, c = network(space), context(space)
    truth, draws = torch.randn(3, *space.state_shape), RandomStreams(0, torch.arange(3), 3)
    x = model.sample(c, draws).detach()
    dims = ("batch", "member", "v", "y", "x")
    score = crps_for_ensemble(
        xr.DataArray(x.numpy(), dims=dims),
        xr.DataArray(truth.numpy(), dims=("batch", "v", "y", "x")),
        "member",
        method="fair",
        preserve_dims="all",
    )
    expected = (score * xr.DataArray(space.area.numpy(), dims=("y", "x"))).mean()
    total = model.loss(Batch(truth, c), RandomStreams(0, torch.arange(3), 3)).total.detach()
    assert float(total) == pytest.approx(float(expected), rel=1e-5)


def test_one_normal_distribution_is_recovered(sized):
    """x ~ N(1, 0.5^2) in every cell, whatever the context: mean and spread are found."""
    space = sized(variables=1, latitudes=4, columns=8)
    torch.manual_seed(0)
    model = Ensemble(space, history=1, noise=4, channels=(8, 8), patch=2)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    for i in range(300):
        optimiser.param_groups[0]["lr"] = 1e-2 * (1 - i / 300)
        truth = 1 + 0.5 * torch.randn(32, 1, 1, 1, generator=generator).expand(-1, *space.state_shape)
        c = Context(32, past=torch.zeros(32, 1, *space.state_shape), day=torch.zeros(32))
        optimiser.zero_grad()
        model.loss(Batch(truth, c), RandomStreams(0, torch.arange(32), 4, i)).total.backward()
        optimiser.step()
    c = Context(1, past=torch.zeros(1, 1, *space.state_shape), day=torch.zeros(1))
    x = model.sample(c, RandomStreams(1, torch.arange(1), 500)).detach()
    assert float(x.mean()) == pytest.approx(1, abs=0.1)
    assert float(x.std(dim=1).mean()) == pytest.approx(0.5, abs=0.1)


def test_the_contrasts_have_their_share_of_the_loss(space):
    model, c = network(space, contrasts=0.3), context(space)
    truth, draws = torch.randn(3, *space.state_shape), RandomStreams(0, torch.arange(3), 3)
    drawn = model.sample(c, draws)
    terms = model.compare(truth, drawn, c, draws)
    cells = network(space).compare(truth, drawn, c, draws).total
    assert torch.allclose(
        terms.total, 0.7 * cells + 0.3 * contrast_crps(drawn, truth, space, pairs_of(space))
    )
    assert set(terms.parts) == {"crps", "spread", "contrasts"}


def test_members_of_half_precision_networks_have_single_precision(space):
    """The score takes differences of members, and contrasts take differences of neighbours."""
    with torch.autocast("cpu", torch.bfloat16):
        x = network(space).sample(context(space), RandomStreams(0, torch.arange(3), 2))
    assert x.dtype == torch.float32
