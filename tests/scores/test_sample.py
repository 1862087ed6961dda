from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.scores.distances import Sets
from fieldcast.scores.sample import active_units, sample_statistics
from fieldcast.scores.sample_metrics import SAMPLE_METRICS

LATITUDE, LONGITUDE = -80 + 20.0 * np.arange(9), 22.5 * np.arange(16)
SCALE = {"z": 50.0, "t": 2.0}
GRID = ("latitude", "longitude")


class Scene(NamedTuple):
    """Arguments of `sample_statistics`."""

    samples: xr.Dataset
    real: xr.Dataset
    densities: pd.DataFrame
    latents: xr.Dataset
    features: Sets
    states: Sets

    def score(self, seed: int = 0, **other: object) -> tuple[pd.DataFrame, xr.Dataset]:
        extractor = {"extractor": "first cells", "features": 6, "accuracy": 0.9, "weights": "w" * 12}
        first, second, third, fourth, features, states = self
        return sample_statistics(
            first,
            second,
            third,
            fourth,
            features=features,
            states=states,
            extractor=extractor,
            seed=seed,
            **other,
        )


def fields(states: np.ndarray, dim: str, coordinates: dict) -> xr.Dataset:
    maps = states.reshape(-1, 2, 9, 16)
    variables = {
        name: ((dim, *GRID), (scale * (10 + maps[:, v])).astype("f4"), {"units": "1"})
        for v, (name, scale) in enumerate(SCALE.items())
    }
    return xr.Dataset(variables, {"latitude": LATITUDE, "longitude": LONGITUDE, **coordinates})


def make(samples: int = 60, test: int = 80, days: int = 13, strength: float = 1.0) -> Scene:
    """White noise on a globe, which samples have `strength` times."""
    rng = np.random.default_rng(17)
    training = rng.standard_normal((300, 288)).astype("f4")
    drawn = (strength * rng.standard_normal((samples, 288))).astype("f4")
    actual = rng.standard_normal((test, 288)).astype("f4")
    time = np.datetime64("2001-01-01", "ns") + np.arange(test) * np.timedelta64(days, "D")
    real = fields(actual, "time", {"time": time}).assign_attrs(wraps=1, digest="d" * 12)
    states = Sets(drawn, actual, training)
    features = Sets(*(columns[:, :6].astype(float) for columns in states))
    values = {"elbo": -100.0, "reconstruction": -90.0, "kl": 10.0, "iwae": -95.0, "loss": 0.5}
    records = [
        (split, datum, str(time[datum])[:19], statistic, 64 * (statistic == "iwae"), value)
        for split in ("test", "train")
        for statistic, centre in values.items()
        for datum, value in enumerate(centre + (split == "train") + rng.standard_normal(test))
    ]
    densities = pd.DataFrame(records, columns=["split", "datum", "time", "statistic", "members", "value"])
    means = rng.standard_normal((test, 4)) * np.sqrt([1.0, 0.05, 0.001, 0.0])
    latents = xr.Dataset({"mean": (("datum", "latent"), means.astype("f4"))})
    dims = {"code_density": "datum", "prior_density": "prior_draw", "prior_ratio": "prior_draw"}
    for name, dim in (dims | {"aggregate_ratio": "aggregate_draw"}).items():
        latents[name] = dim, rng.standard_normal(test)
    drawn_fields = fields(drawn, "sample", {"sample": np.arange(samples)}).assign_attrs(data="d" * 12)
    return Scene(drawn_fields, real, densities, latents, features, states)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make()


@pytest.fixture(scope="module")
def scored(scene: Scene) -> tuple[pd.DataFrame, xr.Dataset]:
    return scene.score(noise=2 * np.random.default_rng(1).standard_normal((60, 6)))


def test_scores_are_the_promised_ones(scored: tuple) -> None:
    table = scored[0]
    assert list(table) == ["score", "value", "low", "high"]
    assert table["score"].tolist() == [name for name in SAMPLE_METRICS if name != "bits_per_dim"]
    none = table.set_index("score")[["low", "high"]].isna().all(axis=1)
    assert none[none].index.tolist() == ["active_units", "fid", "kid_sd"]
    assert table["value"].notna().all()


def test_likelihoods_are_means_over_test_data_and_losses_of_both(scene: Scene, scored: tuple) -> None:
    scores = scored[0].set_index("score")
    means = scene.densities.groupby(["split", "statistic"])["value"].agg(["mean", "std"])
    for score in ("elbo", "reconstruction", "kl", "iwae"):
        expected = means.loc["test", score]
        assert scores.loc[score, "value"] == pytest.approx(expected["mean"], rel=1e-12)
        width = scores.loc[score, "high"] - scores.loc[score, "low"]
        assert width == pytest.approx(2 * 1.96 * expected["std"] / np.sqrt(80), rel=0.15)
    for split in ("test", "train"):
        assert scores.loc[f"{split}_loss", "value"] == pytest.approx(means.loc[(split, "loss"), "mean"])


def test_times_of_ten_days_are_resampled_together_and_images_one_by_one(scene: Scene) -> None:
    """A series that repeats each value eight times knows an eighth of what it seems to."""
    values = np.repeat(np.random.default_rng(2).standard_normal(10), 8)
    widths = {}
    for name, days in (("alike", 1.25), ("apart", 10.0), ("image", None)):
        times = np.datetime64("2001-01-01T00", "h") + np.arange(80) * np.timedelta64(
            int(24 * (days or 0)), "h"
        )
        text = [""] * 80 if days is None else [f"{time}:00:00" for time in times]
        table = pd.DataFrame({"split": "test", "datum": range(80), "time": text, "statistic": "elbo"})
        changed = scene._replace(densities=table.assign(members=0, value=values))
        row = changed.score()[0].set_index("score").loc["elbo"]
        widths[name] = row["high"] - row["low"]
    assert widths["image"] == widths["apart"]
    assert widths["alike"] / widths["apart"] == pytest.approx(np.sqrt(8), rel=0.25)


def test_active_units_vary_over_data() -> None:
    means = np.random.default_rng(3).standard_normal((4000, 4)) * np.sqrt([2.0, 0.02, 0.005, 0.0])
    assert active_units(means + 7) == 2


def test_a_perfect_model_has_the_right_structure(scored: tuple) -> None:
    table, diagnostics = scored
    scores = table.set_index("score")
    assert scores.loc["fid_floor", "low"] < scores.loc["fid", "value"] < scores.loc["fid_floor", "high"]
    ratio = diagnostics["spectrum_samples"] / diagnostics["spectrum_real"]
    np.testing.assert_allclose(ratio[:, 1:].mean("wavenumber"), 1, atol=0.1)
    assert diagnostics.attrs["wasserstein_mean"] == pytest.approx(
        diagnostics.attrs["wasserstein_floor"], rel=0.1
    )
    # a map in standard deviations of each cell: its mean over cells is that of standardised ones
    assert float(diagnostics["wasserstein"].mean()) == pytest.approx(
        diagnostics.attrs["wasserstein_mean"], rel=1e-3
    )
    assert diagnostics["nearest_of_samples"].mean() == pytest.approx(
        float(diagnostics["nearest_of_test"].mean()), rel=0.02
    )
    expected = {"extractor": "first cells", "features": 6, "samples": 60, "real": 80, "K": 64, "finite": 60}
    assert expected.items() <= diagnostics.attrs.items()
    assert diagnostics.attrs["fid_floor"] == scores.loc["fid_floor", "value"]
    assert diagnostics.attrs["fid_ceiling"] > scores.loc["fid_floor", "high"]
    assert {"kid_floor", "kid_ceiling", "kid_sd", "c2st_floor", "spectrum"} <= set(diagnostics.attrs)


def test_power_and_cell_distributions_detect_a_weak_model() -> None:
    _, diagnostics = make(strength=0.5).score()
    ratio = (diagnostics["spectrum_samples"] / diagnostics["spectrum_real"])[:, 1:].mean("wavenumber")
    np.testing.assert_allclose(ratio, 0.25, atol=0.03)
    # E|½X - X'| by quantiles: ½ E|X| = 0.4 standard deviations
    assert diagnostics.attrs["wasserstein_mean"] == pytest.approx(0.5 * np.sqrt(2 / np.pi), rel=0.1)


def test_copies_are_at_no_distance(scene: Scene) -> None:
    copies = scene.states.samples.copy()
    copies[:3] = scene.states.training[[250, 7, 100]]
    _, diagnostics = scene._replace(states=scene.states._replace(samples=copies)).score()
    assert diagnostics["nearest"][:3].values.tolist() == [250, 7, 100]
    assert diagnostics["nearest_of_samples"][:3].values.tolist() == [0, 0, 0]
    assert float(diagnostics["nearest_of_samples"][3:].min()) > 1
    assert diagnostics.sizes["datum"] == 60  # as many as samples, of 80
    assert len(set(diagnostics["datum"].values.tolist())) == 60


def test_a_model_that_blew_up_scores_infinite_and_stops_nothing(scene: Scene) -> None:
    states, features = scene.states.samples.copy(), scene.features.samples.copy()
    states[5, 40], features[5, 2] = np.nan, np.inf
    samples = fields(states, "sample", {"sample": np.arange(60)})
    broken = scene._replace(
        samples=samples,
        features=scene.features._replace(samples=features),
        states=scene.states._replace(samples=states),
    )
    table, diagnostics = broken.score()
    scores = table.set_index("score")["value"]
    assert scores["fid"] == scores["kid"] == np.inf
    assert scores["c2st"] == 1
    assert np.isfinite(scores[["elbo", "fid_floor", "kid_floor"]]).all()
    assert diagnostics.attrs["finite"] == 59
    assert np.isfinite(diagnostics["wasserstein"]).all()
    assert np.isfinite(diagnostics["spectrum_samples"]).all()
    assert diagnostics["nearest_of_samples"][5] == np.inf


def test_images_have_no_spectra_and_a_model_without_density_no_likelihood(scene: Scene) -> None:
    def images(states: np.ndarray, **attrs: object) -> xr.Dataset:
        return xr.Dataset({"image": (("sample", "y", "x"), states.reshape(-1, 16, 18))}, attrs=attrs)

    changed = scene._replace(
        samples=images(scene.states.samples, data="e"),
        real=images(scene.states.test, digest="e"),
        densities=scene.densities.iloc[:0],
        latents=xr.Dataset(),
    )
    table, diagnostics = changed.score()
    assert table["score"].tolist() == ["fid", "kid", "kid_sd", "fid_floor", "kid_floor", "c2st"]
    assert set(diagnostics) == {"nearest_of_samples", "nearest_of_test", "nearest"}
    assert diagnostics.attrs["K"] == 0


def test_scores_are_stored_without_loss(scored: tuple, tmp_path: object) -> None:
    scored[1].to_netcdf(f"{tmp_path}/diagnostics.nc")
    with xr.open_dataset(f"{tmp_path}/diagnostics.nc") as read:
        xr.testing.assert_allclose(read, scored[1])
        assert read.attrs["fid_floor"] == scored[1].attrs["fid_floor"]


def test_the_seed_is_the_only_randomness(scene: Scene, scored: tuple) -> None:
    again, _ = scene.score()
    pd.testing.assert_frame_equal(again, scored[0])
    other, _ = scene.score(seed=1)
    assert (other["value"] != scored[0]["value"]).any()
