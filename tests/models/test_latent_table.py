import math

import pytest
import torch

from fieldcast.errors import InputError
from fieldcast.models.configuration import build
from fieldcast.models.core import Batch, Context, join_batches
from fieldcast.models.latent_table import LatentTable
from fieldcast.models.random_streams import RandomStreams

ROWS = 12
FAMILIES = ["point", "normal", "uniform", "laplace"]


class Linear(torch.nn.Module):
    """x = A z."""

    def __init__(self, space, latent):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.matrix = torch.nn.Parameter(torch.randn(*space.state_shape, latent, generator=generator))

    def forward(self, z, c):
        return torch.einsum("vyxl,bml->bmvyx", self.matrix, z)


def make(space, family="point", **keywords):
    model = build(
        {
            "type": "vae.VAE", "latent": 3,
            "encoder": {"type": "latent_table.LatentTable", "family": family, **keywords},
            "decoder": {"type": "decoders.DenseDecoder"},
        },
        space,
    )  # fmt: skip
    model.decoder = Linear(space, 3)
    return model


def data(space, model, count=ROWS, label=None):
    """States of known codes."""
    z = torch.randn(count, 1, 3, generator=torch.Generator().manual_seed(2))
    x = model.decoder(z, Context(count))[:, 0].detach()
    return z[:, 0], Batch(x, Context(count), index=torch.arange(count), label=label)


def unseen(batch):
    return Batch(batch.x, batch.context)


def draws(count=ROWS):
    return RandomStreams(0, torch.arange(count))


def test_codes_of_a_linear_decoder_are_recovered_for_unseen_data(space):
    model = make(space)
    z, batch = data(space, model)
    with torch.no_grad():  # as evaluation calls it
        q = model.posterior(unseen(batch), draws())
    assert torch.allclose(q.mean, z, atol=1e-2)


def test_a_normal_code_is_recovered_as_the_exact_posterior(space):
    """Posterior of x = A z + sigma eps, z ~ N(0, I): precision I + A'A / sigma^2; its independent
    approximation has the same mean
    and the inverse of the diagonal of the precision (Bishop 2006, section 10.1.2)."""
    model = make(space, "normal", steps=700, rate=0.05)
    model.likelihood.log_sigma.data = torch.tensor(3.0).log()
    _, batch = data(space, model)
    a = model.decoder.matrix.detach().flatten(0, 2)
    precision = torch.eye(3) + a.T @ a / 9
    mean = torch.linalg.solve(precision, a.T @ batch.x.flatten(1).T / 9).T
    q = model.posterior(unseen(batch), draws())
    assert torch.allclose(q.mean, mean, atol=0.06)
    assert torch.allclose(q.deviation, precision.diagonal().rsqrt().expand(ROWS, 3), rtol=0.2)


@pytest.mark.parametrize("family", FAMILIES)
def test_inference_of_a_datum_does_not_depend_on_the_others_and_leaves_the_decoder_alone(space, family):
    model = make(space, family, steps=20)
    _, batch = data(space, model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    whole = model.posterior(unseen(batch), draws())
    alone = model.posterior(Batch(batch.x[5:6], Context(1)), RandomStreams(0, torch.tensor([5])))
    assert torch.allclose(alone.mean, whole.mean[5:6], atol=1e-5)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.decoder.matrix.grad is None


def test_batch_norm_stands_still_while_codes_are_inferred(space):
    model = make(space, steps=5)
    model.decoder = build({"type": "decoders.TransposedDecoder", "latent": 3}, space)
    x = torch.randn(4, *space.state_shape, generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    whole = model.posterior(Batch(x, Context(4)), draws(4)).mean
    alone = model.posterior(Batch(x[:1], Context(1)), draws(1)).mean
    assert torch.allclose(alone, whole[:1], atol=1e-4)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("family", FAMILIES)
def test_training_fits_the_codes_of_the_data_it_sees(space, family):
    model = make(space, family, start=0.01)
    _, batch = data(space, model)
    model.likelihood.log_sigma.data = torch.tensor(0.3).log()
    model.prepare([batch], draws())
    untouched = model.encoder.location[6:].detach().clone()
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.05)
    half = Batch(batch.x[:6], Context(6), index=torch.arange(6))
    first = None
    for step in range(150):
        optimiser.zero_grad()
        terms = model.loss(half, RandomStreams(0, torch.arange(6), step=step))
        first = first or float(terms.parts["reconstruction"].detach())
        terms.total.backward()
        optimiser.step()
    gained = first - float(terms.parts["reconstruction"].detach())
    assert gained > 0.8 * float((half.x**2).mean() / (2 * 0.09))
    assert torch.equal(model.encoder.location[6:], untouched)


@pytest.mark.parametrize("jitter", [0.0, 0.5])
def test_classes_start_at_points_that_lie_apart_and_need_labels(space, jitter):
    model = make(space, by_class=True, start=1.0, jitter=jitter)
    label = torch.arange(200) % 2
    _, batch = data(space, model, 200, label)
    model.prepare([batch], draws(200))
    location = model.encoder.location.detach()
    centres = torch.stack([location[label == k].mean(0) for k in (0, 1)])
    assert (centres[0] - centres[1]).norm() > 0.5
    assert location[label == 0].std(0).mean() == pytest.approx(jitter, abs=0.075)
    assert jitter or (location[label == 0] == location[0]).all()
    with pytest.raises(InputError, match="labels"):
        model.prepare([Batch(batch.x, batch.context, index=batch.index)], draws(200))


def test_the_parameters_of_a_class_start_at_one_random_set():
    """Log scales of classes are N(log spread, scatter^2), independent of the means; within a class they agree."""
    classes, latent = 50, 40
    codes = LatentTable(latent, "normal", start=1.0, spread=0.5, by_class=True, scatter=0.7)
    label = torch.arange(3 * classes) % classes
    batch = Batch(
        torch.zeros(len(label), 1, 1, 1), Context(len(label)), index=torch.arange(len(label)), label=label
    )
    codes.prepare(batch, draws(len(label)))
    location, log_scale = codes.location.detach(), codes.log_scale.detach()
    for table in (location, log_scale):
        assert torch.equal(table[:classes], table[classes : 2 * classes])
    assert float(log_scale.mean()) == pytest.approx(math.log(0.5), abs=0.05)
    assert float(log_scale[:classes].std()) == pytest.approx(0.7, rel=0.06)
    both = torch.stack([location[:classes].flatten(), log_scale[:classes].flatten()])
    assert abs(float(torch.corrcoef(both)[0, 1])) < 0.07  # 2000 pairs: three standard errors
    assert torch.equal(
        codes.begin(draws(len(label)))[1], torch.full_like(log_scale, 0.5).log()
    )  # of other data


def test_a_table_is_stored_and_loaded_whatever_its_number_of_rows(space):
    model, other = make(space, "normal"), make(space, "normal")
    _, batch = data(space, model)
    model.prepare([batch], draws())
    other.load_state_dict(model.state_dict())
    assert other.encoder.location.shape == (ROWS, 3)
    assert torch.equal(other.encoder(batch).mean, model.encoder(batch).mean)


def test_a_table_knows_training_data_only(space):
    with pytest.raises(ValueError, match="training data only"):
        make(space).encoder(unseen(data(space, make(space))[1]))


def test_draws_of_an_autodecoder_start_at_the_prior(space):
    model = make(space)
    x = model.sample(Context(ROWS), RandomStreams(0, torch.arange(ROWS), 500)).detach()
    a = model.decoder.matrix.detach().flatten(0, 2)
    expected = (a**2).sum(1)
    assert torch.allclose(x.flatten(0, 1).flatten(1).var(0), expected, rtol=0.1)


def test_another_family_is_refused_when_it_is_built(space):
    with pytest.raises(InputError, match="cauchy"):
        build({"type": "latent_table.LatentTable", "latent": 3, "family": "cauchy"}, space)


def test_codes_start_as_configured():
    codes = LatentTable(50, "laplace", start=2.0, spread=0.3)
    location, log_scale = codes.begin(RandomStreams(0, torch.arange(400)))
    assert float(location.std()) == pytest.approx(2, rel=0.02)
    assert torch.allclose(log_scale.exp(), torch.tensor(0.3))


@pytest.mark.parametrize("encoder", ["latent_table.LatentTable", "encoders.Network"])
def test_a_record_in_batches_makes_the_same_model_and_no_states_are_held(space, encoder, monkeypatch):
    options = {"type": "vae.VAE", "latent": 3}
    options |= {"encoder": {"type": encoder}, "decoder": {"type": "decoders.DenseDecoder"}}
    held = []
    monkeypatch.setattr(
        "fieldcast.models.autoencoder.join_batches",
        lambda batches: held.append(join_batches(batches)) or held[-1],
    )
    states = []
    for size in (ROWS, 5):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = build(options, space)
        _, batch = data(space, make(space))
        parts = zip(batch.x.split(size), batch.index.split(size), strict=True)
        model.prepare((Batch(x, Context(len(x)), index=index) for x, index in parts), draws())
        states.append(model.state_dict())
    assert sum(batch.x.numel() for batch in held) == 0
    for name, value in states[0].items():
        assert torch.equal(states[1][name], value), name
