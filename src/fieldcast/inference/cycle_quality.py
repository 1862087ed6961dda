"""Quality of the analyses of a cycle, without any truth: scores at withheld observations, and the innovations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.fields import conventions
from fieldcast.fields.units import conversion
from fieldcast.inference.user_layout import original_name
from fieldcast.inference.withheld import WithheldScores
from fieldcast.scores.assimilation import INNOVATION_POWER, innovation_statistics

SCORES = {
    "crps": "fair CRPS of {v} at withheld observations",
    "rmse": "RMSE of the mean of {v} at withheld observations",
    "coverage90": "coverage of the 90 % interval of {v} at withheld observations",
}
TITLES = ("CRPS", "RMSE", "coverage of 90 %")
USED = ("innovation_squared", "innovation_expected", "desroziers", "suspect")  # statistics of innovations
CHI_SQUARED = "mean squared innovation of {v} divided by the expected one"
SUSPECT_TITLE = "share of observations of {v} more than five standard deviations from the background"
INFERRED = "error of observation of {v} that innovations and residuals imply"


class CycleQuality:
    """Scores at withheld observations and statistics of the innovations, collected time by time."""

    def __init__(
        self, y: Float[Tensor, "time variable y x"], held: Bool[Tensor, "y x"], noise: float, seed: int
    ):
        """Take observations, NaN elsewhere, in anomaly standard deviations; `held` are the withheld cells."""
        self.noise = noise
        self.assimilated = y.masked_fill(held, torch.nan)
        withheld = y.masked_fill(~held, torch.nan)
        self.withheld = withheld.isfinite().sum((0, 2, 3)).cpu().numpy()  # observations of each variable
        self.scores = WithheldScores(withheld, noise, seed)
        self.innovations = np.full((len(INNOVATION_POWER), *y.shape[1::-1]), np.nan)  # (statistic, V, T)

    def add(self, time: int, estimates: Mapping[str, Float[Tensor, "1 members variable y x"]]) -> None:
        """Score the estimates of one time, of which `background` and `analysis` give the innovations."""
        if self.withheld.any():
            self.scores.add(time, estimates)
        y = self.assimilated[time].double().cpu().numpy()
        b, a = (estimates[name][0].double().cpu().numpy() for name in ("background", "analysis"))
        for v in range(len(y)):
            statistics = innovation_statistics(y[v][None], b[:, v][:, None], a[:, v][:, None], self.noise)
            self.innovations[:, v, time] = [float(value[0]) for value in statistics.values()]

    def beside(self, result: xr.Dataset, dataset: xr.Dataset, codec: FieldCodec) -> xr.Dataset:
        """The result with the scores and statistics of each variable, in its units; `dataset` is the user's record."""
        (time,) = map(str, dataset[conventions.axes(dataset)["time"]].dims)
        means = {(name, v): scores for name, v, scores in self.scores.means()}
        states = list(dict.fromkeys(name for name, _ in means))
        parts: dict[str, xr.Variable] = {}
        for i, variable in enumerate(codec.variables):
            v, deviation = original_name(dataset, variable), float(codec.deviation[i])
            units = unit_attrs(str(codec.attrs[variable].get("units", "1")))
            for score in SCORES if states else ():
                factor, of_score = (1.0, unit_attrs("1")) if score == "coverage90" else (deviation, units)
                values = factor * np.array([means[state, i][score] for state in states])
                count = {"observations": int(self.withheld[i])}
                parts[f"{v}_{score}"] = quality(("state",), values, SCORES[score], v, {**of_score, **count})
            squared, expected, desroziers, suspect = (self._innovations(name, i) for name in USED)
            inferred = deviation * np.sqrt(max(mean(desroziers), 0.0))
            overall = {"ratio_of_means": mean(squared) / mean(expected)}
            parts |= {
                f"{v}_chi_squared": quality(
                    (time,), squared / expected, CHI_SQUARED, v, {**unit_attrs("1"), **overall}
                ),
                f"{v}_suspect_share": quality((time,), suspect, SUSPECT_TITLE, v, unit_attrs("1")),
                f"{v}_observation_error": quality((), inferred, INFERRED, v, units),
            }
            parts[f"{v}_observation_error"].attrs["assumed"] = deviation * self.noise
        if states:
            parts["state"] = xr.Variable("state", states, {"long_name": "estimate that is scored"})
        return result.assign(parts)

    def _innovations(self, name: str, variable: int) -> Float[np.ndarray, " time"]:
        return self.innovations[list(INNOVATION_POWER).index(name), variable]


def quality(
    dims: tuple[str, ...], values: np.ndarray | float, name: str, v: str, attrs: Mapping[str, Any]
) -> xr.Variable:
    """A variable of the result that tells how good the analyses of v are."""
    about = {"long_name": name.format(v=v), "coverage_content_type": "qualityInformation"}
    return xr.Variable(dims, values, {**about, **attrs})


def unit_attrs(units: str) -> dict[str, str]:
    """The attributes of a difference of values in some units."""
    difference = {"units_metadata": "temperature: difference"} if conversion(units, "K") else {}
    return {"units": units, **difference}


def mean(values: Float[np.ndarray, " time"]) -> float:
    """The mean of the times that have a value, which may be infinite; NaN without any."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else float("nan")


def as_text(result: xr.Dataset) -> str:
    """A table for each variable of a cycle's result: scores at withheld observations, and innovations."""
    suffix = "_chi_squared"
    variables = [str(name).removesuffix(suffix) for name in result.data_vars if str(name).endswith(suffix)]
    return "\n\n".join("\n".join(lines_of(result, v)) for v in variables)


def lines_of(result: xr.Dataset, v: str) -> Iterator[str]:
    """The lines of one variable."""
    error, chi_squared, suspect = (
        result[f"{v}_{name}"] for name in ("observation_error", "chi_squared", "suspect_share")
    )
    unit, overall = error.attrs["units"], chi_squared.attrs["ratio_of_means"]
    if f"{v}_crps" in result:
        count = result[f"{v}_crps"].attrs["observations"]
        yield f"{v} at {count} withheld observations of {chi_squared.size} times; CRPS and RMSE in {unit}"
        yield f"{'':16}" + "".join(f"{title:>18}" for title in TITLES)
        for state in result["state"].values:
            values = (float(result[f"{v}_{score}"].sel(state=state)) for score in SCORES)
            yield f"{state:16}" + "".join(f"{value:>18.4g}" for value in values)
    yield (
        f"{v} innovations: chi-squared {overall:.3g}, {100 * mean(suspect.values):.2g} % above five "
        f"standard deviations, inferred error of observation {float(error):.3g} {unit} "
        f"(assumed {error.attrs['assumed']:.3g})"
    )
