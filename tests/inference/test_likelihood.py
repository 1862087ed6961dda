"""Draws of states, and likelihoods, codes and pictures of trained and of exact models."""

import math

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

from fieldcast.encoding.states import ImageCodec, space_of_images
from fieldcast.errors import InputError
from fieldcast.fields.images import open_images, split
from fieldcast.fields.options import ImageSource
from fieldcast.inference.samples import latent_space
from fieldcast.inference.samples.latent_space import (
    INTERPOLATION_STEPS,
    Split,
    density_table,
    examine,
    in_pieces,
    latents,
    pictures,
    split_of,
    training_codes,
)
from fieldcast.inference.samples.sets import draw_states, physical_states
from fieldcast.models.conditional import Decoder
from fieldcast.models.configuration import build
from fieldcast.models.core import Batch, Context, Model
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space
from fieldcast.models.vae import VAE
from fieldcast.scores.sample import UNUSED, prior_scores
from fieldcast.training.batches import StateBatches
from fieldcast.training.state_source import InMemory

GREY = ImageCodec("grey", 17)
ENCODER = {"type": "encoders.Network", "latent": 2, "hidden": [8, 8]}
DECODER = {"type": "decoders.DenseDecoder", "latent": 2, "hidden": [8, 8]}
CODED = {
    "type": "vae.VAE", "latent": 2, "encoder": ENCODER, "decoder": DECODER,
    "likelihood": {"type": "likelihoods.Gaussian"},
}  # fmt: skip
DIFFUSION = {"type": "diffusion.Diffusion", "steps": 30, "channels": [8, 8]}


@pytest.fixture(scope="module")
def images() -> xr.Dataset:
    return open_images(ImageSource("digits", train=60, test=30))


@pytest.fixture(scope="module")
def space(images: xr.Dataset) -> Space:
    return space_of_images(images)


def built(config: dict, space: Space) -> Model:
    torch.manual_seed(0)
    model = build(config, space).eval()
    assert isinstance(model, Model)
    return model


def test_draws_do_not_depend_on_how_many_there_are(space: Space) -> None:
    model = built(CODED, space)
    # sums of a batch of another size are rounded otherwise
    assert torch.allclose(draw_states(model, 70, 3)[:5], draw_states(model, 5, 3), atol=1e-5)
    assert not torch.equal(draw_states(model, 5, 4), draw_states(model, 5, 3))


def test_cells_that_never_exist_are_missing(space: Space) -> None:
    model = built(CODED, space)
    model.space.exists[2, 3] = False
    data = physical_states(model.space, GREY, draw_states(model, 2, 0))
    model.space.exists[2, 3] = True
    assert np.isnan(data["image"].values[:, 2, 3]).all()
    assert np.isnan(data["image"].values).sum() == 2


def test_scored_data_see_one_binarisation_and_training_data_a_new_one_each_step(
    images: xr.Dataset, space: Space
) -> None:
    codec = ImageCodec("bernoulli", 17)
    index = torch.arange(5)
    training, scored = (
        StateBatches(InMemory.undated(codec.encode(images)), None, space, codec, expected)
        for expected in (False, True)
    )
    item, two = RandomStreams(0, index, step=1), RandomStreams(0, index, step=2)
    assert not torch.equal(training.batch(index, item).x, training.batch(index, two).x)
    assert torch.equal(scored.batch(index, item).x, scored.batch(index, two).x)


class LinearDecoder(Decoder):
    """x = W z + b."""

    def __init__(self, w: torch.Tensor):
        super().__init__()
        self.w = w

    def forward(self, z: torch.Tensor, c: Context) -> torch.Tensor:
        return (z @ self.w.T).unflatten(-1, (1, 8, 8))


def test_iwae_is_the_evidence_of_a_linear_gaussian_and_the_elbo_lies_below(space: Space) -> None:
    w = torch.randn(64, 2, generator=torch.Generator().manual_seed(1)) / 3
    model = VAE(space, built(CODED, space).encoder, LinearDecoder(w), latent=2)
    rng = torch.Generator().manual_seed(2)
    x = (torch.randn(20, 2, generator=rng) @ w.T + torch.randn(20, 64, generator=rng)).reshape(20, 1, 8, 8)
    data = Split(Batch(x, Context(20)), torch.arange(20), [""] * 20)
    result = examine(model.eval(), data, 4000, GREY, 0).values
    exact = stats.multivariate_normal(np.zeros(64), (w @ w.T + torch.eye(64)).numpy()).logpdf(
        x.flatten(1).numpy()
    )
    assert np.abs(result["iwae"] - exact).max() < 0.5
    assert abs((result["iwae"] - exact).mean()) < 0.05
    assert (result["elbo"] < exact).all()
    assert np.allclose(result["elbo"], result["reconstruction"] - result["kl"])


def test_pieces_of_members_are_the_members() -> None:
    whole = RandomStreams(0, torch.arange(3), 10, first=5)
    parts = [item.normal(2) for item in in_pieces(whole, 4)]
    assert torch.equal(torch.cat(parts, dim=1), whole.normal(2))


def test_the_loss_is_the_mean_square_error_of_decoding_the_mean(images: xr.Dataset, space: Space) -> None:
    model = built({**CODED, "encoder": {**ENCODER, "family": "point"}}, space)
    assert isinstance(model, VAE)
    part = split_of(images, split(images), "test", 4, GREY, model)
    result = examine(model, part, 3, GREY, 0)
    assert set(result.values) == {"loss"}  # points have no likelihood
    with torch.no_grad():
        back = model.decoder(model.encoder(part.batch).mean[:, None], part.batch.context)[:, 0]
    assert np.allclose(result.values["loss"], (back - part.batch.x).square().mean(dim=(1, 2, 3)))
    assert torch.equal(part.datum, torch.tensor([0, 10, 19, 29]))


def test_bits_of_a_flow_are_of_grey_values(images: xr.Dataset, space: Space) -> None:
    codec = ImageCodec("dequantised", 17)
    model = built({"type": "flow.Flow", "network": "dense", "hidden": 8, "layers": 2}, space)
    part = split_of(images, split(images), "test", 3, codec, model)
    result = examine(model, part, 7, codec, 0).values
    log_p = model.log_prob(part.batch.x).detach().numpy()  # type: ignore[operator]
    assert np.allclose(result["elbo"], log_p)
    # p(v) of v + u in [0, 17): a seventeenth of that of x
    assert np.allclose(result["bits_per_dim"], -(log_p / 64 - math.log(17)) / math.log(2))


def test_the_bound_of_a_diffusion_does_not_depend_on_the_batch_size(
    images: xr.Dataset, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = built(DIFFUSION, space)
    part = split_of(images, split(images), "test", 6, GREY, model)
    whole = examine(model, part, 30, GREY, 0)
    monkeypatch.setattr(latent_space, "DECODED_AT_ONCE", 60)
    assert np.allclose(examine(model, part, 30, GREY, 0).values["elbo"], whole.values["elbo"], rtol=1e-5)
    table = density_table({"test": (part, whole)})
    assert table["members"].eq(30).all()


class White(Model):
    """x ~ N(0, I): a model that no loop has heard of."""

    density = "exact"

    def sample(self, c: Context, streams: RandomStreams) -> torch.Tensor:
        return streams.normal(*self.space.state_shape)

    def log_weights(self, batch: Batch, streams: RandomStreams) -> torch.Tensor:
        assert streams.members == 1  # an exact density is asked once
        return torch.distributions.Normal(0.0, 1.0).log_prob(batch.x).sum(dim=(1, 2, 3))[:, None]


class Mute(Model):
    """A model without a density."""

    def sample(self, c: Context, streams: RandomStreams) -> torch.Tensor:
        return streams.normal(*self.space.state_shape)


def test_the_report_asks_new_models_for_their_capabilities(images: xr.Dataset, space: Space) -> None:
    part = split_of(images, split(images), "test", 6, GREY, White(space))
    result = examine(White(space), part, 30, GREY, 0)
    assert np.allclose(result.values["elbo"], stats.norm.logpdf(part.batch.x.numpy()).sum(axis=(1, 2, 3)))
    assert examine(Mute(space), part, 30, GREY, 0).values == {}
    assert not latents(White(space), result, part, 0) and not pictures(
        White(space), GREY, part, xr.Dataset(), 0
    )


def test_the_table_names_its_datum(images: xr.Dataset, space: Space) -> None:
    model = built(CODED, space)
    part = split_of(images, split(images), "test", 4, GREY, model)
    table = density_table({"test": (part, examine(model, part, 5, GREY, 0))})
    assert set(table["statistic"]) == {"loss", "elbo", "reconstruction", "kl", "iwae"}
    assert table.loc[table["statistic"] == "iwae", "members"].eq(5).all()
    assert table.loc[table["statistic"] == "loss", "datum"].tolist() == [0, 10, 19, 29]


def test_codes_and_the_prior(images: xr.Dataset, space: Space) -> None:
    model = built(CODED, space)
    part = split_of(images, split(images), "test", 4, GREY, model)
    result = latents(model, examine(model, part, 5, GREY, 0), part, 0)
    assert result["mean"].dims == ("datum", "latent")
    assert result["label"].values.tolist() == images["label"].values[60:][[0, 10, 19, 29]].tolist()
    at = result["log_density"].sel(u=1.04, v=-2.0, method="nearest")
    assert np.isclose(at, stats.norm.logpdf(at["u"]) + stats.norm.logpdf(at["v"]), atol=1e-4)
    codes = np.sort(result["drawn"], axis=0)
    for place, axis in enumerate("uv"):  # the density is known wherever there are codes, but for one far away
        assert result[axis].min() < codes[1, place] and result[axis].max() > codes[-2, place]
    assert not latents(built(DIFFUSION, space), examine(built(DIFFUSION, space), part, 2, GREY, 0), part, 0)


@pytest.mark.parametrize("size", [0.5, 1.5])
def test_prior_and_aggregate_posterior_of_known_width(
    images: xr.Dataset, space: Space, size: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Posteriors a tenth as wide as their aggregate, N(0, size^2 I), beside the prior N(0, I)."""
    monkeypatch.setattr(latent_space, "PAIRS_AT_ONCE", 2**22)
    spread, rng = size / 10, torch.Generator().manual_seed(4)
    table = {"type": "latent_table.LatentTable", "latent": 2, "family": "normal", "steps": 2}
    model = built({**CODED, "encoder": table}, space)
    with torch.no_grad():
        model.encoder.location.data = (size**2 - spread**2) ** 0.5 * torch.randn(20_000, 2, generator=rng)
        model.encoder.log_scale.data = torch.full((20_000, 2), math.log(spread))
    data = Batch(torch.zeros(20_000, 1, 8, 8), Context(20_000))
    training = Split(data, torch.arange(20_000), [""] * 20_000)
    part = split_of(images, split(images), "test", 4, GREY, model)
    examined = examine(model, part, 2, GREY, 0)._replace(drawn=size * torch.randn(4000, 2, generator=rng))
    examined = examined._replace(mean=examined.drawn)
    scores = dict(prior_scores(latents(model, examined, part._replace(classes=None), 0, training)))
    assert scores["outside_prior"].value == pytest.approx(0.05 ** (1 / size**2), abs=0.025)
    # aggregate / prior < u where |z|^2 (1 / size^2 - 1) > -2 log(u size^2); where size > 1 it is above 1 / size^2
    unused = (UNUSED * size**2) ** (1 / (1 / size**2 - 1)) if size < 1 else 0.0
    assert scores["unused_prior"].value == pytest.approx(unused, abs=0.02)
    assert scores["aggregate_kl"].value == pytest.approx(size**2 - 1 - 2 * math.log(size), abs=0.06)
    low, high = scores["aggregate_kl"][1:]
    assert low < scores["aggregate_kl"].value < high < low + 0.1


def test_points_have_no_aggregate_posterior(images: xr.Dataset, space: Space) -> None:
    model = built({**CODED, "encoder": {**ENCODER, "family": "point"}}, space)
    part = split_of(images, split(images), "test", 4, GREY, model)
    inside = latents(model, examine(model, part, 3, GREY, 0), part, 0, part)
    assert "prior" in inside and "prior_ratio" not in inside and not dict(prior_scores(inside))


def test_the_grid_rises_along_rows_and_falls_from_row_to_row(images: xr.Dataset, space: Space) -> None:
    model = built(CODED, space)
    assert isinstance(model, VAE)
    part = split_of(images, split(images), "test", 12, GREY, model)
    result = pictures(model, GREY, part, latents(model, examine(model, part, 2, GREY, 0), part, 0), 0)
    kinds = (
        ["grid"] * 100
        + ["truth"] * 10
        + ["reconstruction"] * 10
        + ["interpolation"] * 2 * INTERPOLATION_STEPS
    )
    assert result["kind"].values.tolist() == kinds
    corner = model.decode(torch.tensor([[[2.5, 2.5]]]), Context(1), RandomStreams(0, torch.arange(1)))
    last_of_first_row = result["image"].values[9]
    assert np.allclose(last_of_first_row, GREY.decode(corner.detach()[0])["image"].values[0], atol=1e-4)
    assert np.allclose(result["image"].values[100], images["image"].values[60], atol=1e-4)


@pytest.mark.parametrize(("latent", "chosen"), [(1, [0]), (2, [0, 1]), (5, [1, 4])])
def test_the_grid_is_over_the_components_that_vary_most(
    images: xr.Dataset, space: Space, latent: int, chosen: list[int]
) -> None:
    encoder, decoder = ({**part, "latent": latent} for part in (ENCODER, DECODER))
    model = built({**CODED, "latent": latent, "encoder": encoder, "decoder": decoder}, space)
    assert isinstance(model, VAE)
    part = split_of(images, split(images), "test", 12, GREY, model)
    inside = latents(model, examine(model, part, 2, GREY, 0), part, 0)
    active = np.array([1e-3, 4.0, 1e-3, 1e-3, 1.0])[:latent] * np.linspace(-1, 1, 12)[:, None]
    result = pictures(model, GREY, part, inside.assign(mean=(("datum", "latent"), active)), 0)
    assert result.attrs["grid_components"] == chosen
    z = torch.zeros(1, 1, latent)
    z[..., chosen] = torch.tensor([-2.5, 2.5])[: len(chosen)]  # at the left of the top
    top_left = model.decode(z, Context(1), RandomStreams(0, torch.arange(1))).detach()[0]
    assert np.allclose(result["image"].values[0], GREY.decode(top_left)["image"].values[0], atol=1e-4)


def test_the_grid_is_over_the_pair_that_is_given(images: xr.Dataset, space: Space) -> None:
    encoder, decoder = ({**part, "latent": 5} for part in (ENCODER, DECODER))
    model = built({**CODED, "latent": 5, "encoder": encoder, "decoder": decoder}, space)
    assert isinstance(model, VAE)
    part = split_of(images, split(images), "test", 12, GREY, model)
    inside = latents(model, examine(model, part, 2, GREY, 0), part, 0)
    result = pictures(model, GREY, part, inside, 0, grid=(3, 2))
    assert result.attrs["grid_components"] == [3, 2]
    z = torch.zeros(1, 1, 5)
    z[..., 3], z[..., 2] = -2.5, 2.5  # at the left of the top
    top_left = model.decode(z, Context(1), RandomStreams(0, torch.arange(1))).detach()[0]
    assert np.allclose(result["image"].values[0], GREY.decode(top_left)["image"].values[0], atol=1e-4)
    with pytest.raises(
        InputError, match=r"options.grid is \[0, 5\], but the latent has the components 0 to 4"
    ):
        pictures(model, GREY, part, inside, 0, grid=(0, 5))


def test_codes_carry_the_names_of_their_classes(images: xr.Dataset, space: Space) -> None:
    model = built(CODED, space)
    plain = split_of(images, split(images), "test", 12, GREY, model)
    named = images.copy()
    named["label"].attrs = {
        "flag_values": [*range(10)],
        "flag_meanings": " ".join(f"class_{n}" for n in range(10)),
    }
    part = split_of(named, split(images), "test", 12, GREY, model)
    inside = latents(model, examine(model, part, 2, GREY, 0), part, 0)
    assert plain.classes is not None
    assert inside["label"].values.tolist() == [f"class {number}" for number in plain.classes]


def test_an_interpolation_goes_from_one_reconstruction_to_the_next(images: xr.Dataset, space: Space) -> None:
    model = built(
        {**CODED, "latent": 3, "encoder": {**ENCODER, "latent": 3}, "decoder": {**DECODER, "latent": 3}},
        space,
    )
    part = split_of(images, split(images), "test", 5, GREY, model)
    inside = latents(model, examine(model, part, 2, GREY, 0), part, 0)
    result = pictures(model, GREY, part, inside, 0)
    rows = (
        result["image"]
        .values[result["kind"].values == "interpolation"]
        .reshape(-1, INTERPOLATION_STEPS, 8, 8)
    )
    back = result["image"].values[result["kind"].values == "reconstruction"]
    assert result.attrs["way"] == INTERPOLATION_STEPS
    assert np.allclose(rows[:, 0], back[[0, 2]], atol=1e-3)
    assert np.allclose(rows[:, -1], back[[1, 3]], atol=1e-3)
    codes = torch.from_numpy(inside["mean"].values)
    third = torch.lerp(codes[2], codes[3], 3 / (INTERPOLATION_STEPS - 1))[None, None]
    decoded = model.decode(third, Context(1), RandomStreams(0, torch.arange(1))).detach()[0]
    assert np.allclose(rows[1, 3], GREY.decode(decoded)["image"].values[0], atol=1e-3)


def test_training_codes_equal_the_learned_table(images: xr.Dataset, space: Space) -> None:
    model = built({**CODED, "encoder": {"type": "latent_table.LatentTable", "latent": 2, "steps": 2}}, space)
    with torch.no_grad():
        model.encoder.location.data = torch.arange(100.0).reshape(50, 2)
        model.encoder.log_scale.data = torch.zeros(50, 2)
    part = split_of(images, split(images), "train", 6, GREY, model)
    codes = training_codes(model, part)
    assert np.array_equal(codes["training_mean"].values, np.arange(100.0).reshape(50, 2)[part.datum])
    assert codes["training_label"].values.tolist() == images["label"].values[part.datum].tolist()
    assert not training_codes(built(CODED, space), part)  # an encoder treats training and test data alike


def test_a_diffusion_is_shown_on_its_way(images: xr.Dataset, space: Space) -> None:
    model = built({**DIFFUSION, "steps": 300}, space)
    part = split_of(images, split(images), "test", 2, GREY, model)
    result = pictures(model, GREY, part, xr.Dataset(), 0)
    assert result["chain_time"].values.tolist() == [
        t for t in (300, 200, 100, 50, 20, 10, 0) for _ in range(4)
    ]
    assert result["number"].values[:8].tolist() == [0, 1, 2, 3] * 2
