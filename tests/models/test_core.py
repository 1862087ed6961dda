import pytest
import torch

from fieldcast.errors import InputError
from fieldcast.models.configuration import build
from fieldcast.models.core import Batch, Context, channel_count
from fieldcast.models.stepped import Stepped


def context(space, count=3, past=2):
    x = torch.randn(count, past, *space.state_shape, generator=torch.Generator().manual_seed(0))
    return Context(count, past=x, day=torch.linspace(0, 0.9, count))


def test_a_rollout_shifts_the_past_and_moves_the_day(space):
    c, x = context(space), torch.ones(3, *space.state_shape)
    ahead = c.advance(x, 0.25)
    assert torch.equal(ahead.past[:, 0], c.past[:, 1])
    assert torch.equal(ahead.base(), x)
    assert torch.allclose(ahead.day, torch.tensor([0.25, 0.70, 0.15]))


def test_a_stage_replaces_the_base_only(space):
    c = context(space).at(torch.zeros(3, *space.state_shape))
    assert torch.equal(c.past[:, 0], context(space).past[:, 0])
    assert not c.base().any()


def test_the_fraction_counts_cells_that_exist(space):
    exists = space.exists.clone()
    exists[:, :8] = False

    half = space.replace(exists=exists)
    mask = torch.zeros(1, *space.state_shape, dtype=torch.bool)
    mask[..., 8:10] = True
    assert float(Context(1, observed=mask.float(), mask=mask).fraction(half)) == pytest.approx(2 / 8)


def test_a_part_that_the_context_lacks_is_refused(space):
    c, y = context(space), torch.ones(3, *space.state_shape)
    assert torch.equal(c.states(), c.past)
    observed, mask = Context(3, observed=y, mask=y > 0).observations()
    assert torch.equal(observed, y)
    assert mask.all()
    with pytest.raises(InputError, match="reads observations, and the task has none"):
        c.observations()
    with pytest.raises(InputError, match="reads past states, and the task has none"):
        Context(3).states()


def test_members_of_a_datum_lie_next_to_each_other(space):
    c = context(space).repeat(2)
    assert c.count == 6
    assert torch.equal(c.day[:4], torch.tensor([0.0, 0.0, 0.45, 0.45]))
    assert torch.equal(context(space)[torch.tensor([2])].past, context(space).past[2:])


def test_a_selection_of_a_batch_keeps_its_data_together(space):
    x, number = torch.arange(3.0)[:, None, None, None].expand(3, *space.state_shape), torch.arange(3)
    batch = Batch(x, context(space), index=10 + number, label=number, observed=x > 0, group=4)
    some = batch[torch.tensor([2, 0])]
    assert some.x[:, 0, 0, 0].tolist() == [2, 0]
    assert some.index.tolist() == [12, 10]
    assert some.label.tolist() == [2, 0]
    assert some.observed[:, 0, 0, 0].tolist() == [True, False]
    assert some.group == 4
    assert torch.equal(some.context.day, batch.context.day[[2, 0]])
    assert batch[1:].context.count == 2
    assert Batch(x, context(space))[:2].index is None


def test_channels_hold_season_and_static_fields(space):
    channels = context(space).channels(space)
    assert channels.shape == (3, 2 * 2 + 2 + 1, 9, 16)
    assert torch.allclose(channels[:, 4] ** 2 + channels[:, 5] ** 2, torch.ones(()))


@pytest.mark.parametrize(
    "extra_channels", [("season",), ("static",), ("mask", "static"), ("mask", "season", "static")]
)
@pytest.mark.parametrize(("history", "observed"), [(0, False), (0, True), (2, False), (2, True)])
def test_the_number_of_channels_is_that_of_a_context(space, history, observed, extra_channels):
    y = torch.ones(3, *space.state_shape)
    c = Context(
        3,
        past=y[:, None].expand(-1, history, -1, -1, -1) if history else None,
        observed=y if observed else None,
        mask=y > 0 if observed else None,
        day=torch.zeros(3),
    )
    channels = c.channels(space, extra_channels)
    assert channel_count(space, history, observed, extra_channels) == channels.shape[1]


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        ({"type": "vae.VEA"}, ("model.type", "vae.VEA")),
        ({"type": "os.system"}, ("model.type", "os.system")),
        ({"type": "vae.ConditionalVAE", "latnt": 3}, ("model.latnt", "'latent'")),
        (
            {"type": "stepped.Stepped", "scheme": "euler", "model": {"type": "vae.ConditionalVAE", "kl": 3}},
            ("model.model.kl", "kl_weight"),
        ),
        (
            {"type": "stepped.Stepped", "scheme": "leapfrog", "model": {"type": "vae.ConditionalVAE"}},
            ("scheme", "leapfrog"),
        ),
        ({"latent": 3}, ("model.type",)),
        ({"type": "core.importlib"}, ("model.type", "core.importlib")),
        ({"type": "interpolation.cKDTree"}, ("model.type", "cKDTree")),
        (
            {"type": "vae.ConditionalVAE", "likelihood": {"type": "likelihoods.Gaussian", "sigma": 0.0}},
            ("model.likelihood.sigma", "greater than 0"),
        ),
    ],
)
def test_a_wrong_configuration_is_reported_in_one_sentence_that_names_the_key(space, config, parts):
    with pytest.raises(InputError) as raised:
        build(config, space)
    assert all(word in str(raised.value) for word in parts)
    assert "\n" not in str(raised.value)


def test_parts_are_built_as_models_are(space):
    model = build(
        {"type": "stepped.Stepped", "scheme": "rk4", "model": {"type": "vae.ConditionalVAE", "latent": 3}},
        space,
    )
    assert isinstance(model, Stepped)
    assert model.model.prior.latent == 3


@pytest.mark.parametrize(
    ("config", "learned", "density", "omits_noise"),
    [
        ({"type": "climatology.Climatology"}, False, "", False),
        ({"type": "probabilistic_pca.ProbabilisticPCA"}, False, "exact", False),
        ({"type": "flow.Flow", "layers": 2, "hidden": 8}, True, "exact", False),
        ({"type": "diffusion.Diffusion", "steps": 4, "channels": [8, 8]}, True, "lower bound", False),
        ({"type": "ensemble.Ensemble", "channels": [8, 16]}, True, "", False),
        ({"type": "vae.ConditionalVAE", "latent": 3}, True, "", True),
        ({"type": "vae.ConditionalVAE", "latent": 3, "likelihood_noise": True}, True, "", False),
        ({"type": "stepped.Stepped", "model": {"type": "vae.ConditionalVAE", "latent": 3}}, True, "", True),
    ],
)
def test_a_model_tells_the_facts_that_are_stored_with_its_costs(space, config, learned, density, omits_noise):
    model = build(config, space)
    count = sum(weight.numel() for weight in model.parameters())
    facts = {"parameters": count, "learned": learned, "density": density, "omits_noise": omits_noise}
    assert model.facts == facts
