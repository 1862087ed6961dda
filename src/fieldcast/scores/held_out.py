"""Scores at held-out observations, which need no truth: a predicted observation is compared with the observation.

An observation is held out if it is kept from the method that predicts it: values of a record with gaps, clusters of
stations, blocks of cells of a cycle. The predicted quantity is H x + e, with e the error of the observation. Roots and
ratios are taken of means over observations, and intervals come from resampling clusters of observations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.special import ndtr, ndtri

from fieldcast.scores.bootstrap import interval, mean_and_resamples
from fieldcast.scores.metrics import unbiased_spread_skill_ratio
from fieldcast.scores.numbers import significant
from fieldcast.scores.statistics import coverage, coverage_interval, fair_crps
from fieldcast.scores.summary import text_table

NOMINAL_COVERAGE = 0.9  # probability of the interval whose coverage is scored
TITLES = {"crps": "CRPS", "rmse": "RMSE", "ssr": "spread-skill", "coverage90": "coverage of 90 %"}
COLUMNS = ["experiment", "variable", "score", "value", "low", "high", "unit", "observations"]
NO_UNIT = "1"  # unit of readings in a table without units
CELL_WIDTH = 9  # characters of a column of a text, at least
Statistics = Mapping[str, Float[np.ndarray, " n"]]


def held_out_statistics(
    y: Float[np.ndarray, " n"], predicted: Float[np.ndarray, "member n"], spread: Float[np.ndarray, " n"] | None = None
) -> dict[str, Float[np.ndarray, " n"]]:  # fmt: skip
    """Statistics of each observation, whose means give the scores (`mean_scores`).

    error and square, those of the mean; crps; variance s^2 and debiased = square - s^2 / M of M members, at least two;
    and coverage, if so many members have an interval of 90 %. The CRPS of a normal distribution is that of Gneiting et
    al. (2005), eq. 5: s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = error / s.

    Parameters
    ----------
    y
        Observations.
    predicted
        Draws of the observations.
    spread
        Standard deviations of normal distributions, in place of draws: `predicted` has their means as its one member.
    """
    members, error = len(predicted), predicted.mean(0) - y
    statistics = {"error": error, "square": error**2}
    if spread is not None:
        z = error / spread
        density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        statistics["crps"] = spread * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))
        statistics |= {"variance": spread**2, "debiased": statistics["square"]}
        statistics["coverage"] = (np.abs(z) < ndtri((1 + NOMINAL_COVERAGE) / 2)).astype(float)
        return statistics
    statistics["crps"] = fair_crps(predicted, y)
    if members > 1:
        statistics["variance"] = predicted.var(0, ddof=1)
        statistics["debiased"] = statistics["square"] - statistics["variance"] / members
    if coverage_interval(members, NOMINAL_COVERAGE) is not None:
        statistics["coverage"] = coverage((predicted < y).sum(0), members, NOMINAL_COVERAGE)
    return statistics


def mean_scores(means: Statistics, scale: float = 1.0) -> dict[str, Float[np.ndarray, " n"]]:
    """Scores from means of statistics; CRPS, RMSE and bias are multiplied by `scale`, the unit of the statistics."""
    scores = {"crps": scale * means["crps"], "rmse": scale * np.sqrt(means["square"])}
    if "error" in means:
        scores["bias"] = scale * means["error"]
    if "variance" in means:
        scores["ssr"] = unbiased_spread_skill_ratio(means["variance"], means["debiased"])
    if "coverage" in means:
        scores["coverage90"] = means["coverage"]
    return scores


def score_held_out(
    experiment: str, variable: str, statistics: Statistics, weight: Float[np.ndarray, " n"] | None = None, *,
    scale: float = 1.0, units: str = NO_UNIT, cluster: Int[np.ndarray, " n"] | None = None, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Scores of one experiment and variable, a row each: CRPS, RMSE, spread-skill ratio and coverage of 90 %.

    Parameters
    ----------
    experiment, variable
        Names for the table.
    statistics
        Those of `held_out_statistics`.
    weight
        Weight of each observation; by default 1.
    scale, units
        Standard deviation of the variable, in which errors are given, and its units.
    cluster
        Cluster of each observation: from at least three, `low` and `high` are the ends of a 95 % interval.
    seed
        Seed of the resamples.
    """
    ones = np.ones(len(statistics["crps"]))
    index = np.zeros(len(ones), int) if cluster is None else np.unique(cluster, return_inverse=True)[1]
    resamples = mean_and_resamples(int(index.max(initial=0)) + 1, 1, seed)
    weight = ones if weight is None else weight
    total = resamples @ np.bincount(index, weight)
    with np.errstate(invalid="ignore"):  # of few clusters, a resample may hold only those without weight
        means = {name: resamples @ np.bincount(index, weight * x) / total for name, x in statistics.items()}
    scores = mean_scores(means, scale)
    ends = {name: interval(values[1:, None]) for name, values in scores.items()}
    return pd.DataFrame(
        {
            "experiment": experiment, "variable": variable, "score": name, "value": float(scores[name][0]),
            "low": float(ends[name][0][0]), "high": float(ends[name][1][0]),
            "unit": units if name in ("crps", "rmse") else NO_UNIT, "observations": len(ones),
        }
        for name in TITLES if name in scores
    )  # fmt: skip


def scores_by_group(statistics: Statistics, groups: pd.DataFrame, scale: float = 1.0) -> pd.DataFrame:
    """Scores of the observations that are equal in all columns of `groups`.

    The columns are those of `groups`, observations, crps, rmse, bias (mean minus observation) and coverage90.
    """
    grouped = groups.assign(**statistics).groupby(list(groups), sort=False, dropna=False)
    means, number = grouped.mean(), grouped.size()
    scores = mean_scores({name: means[name].to_numpy() for name in means}, scale)
    table = pd.DataFrame({"observations": number, **scores}, number.index)
    return table.reindex(columns=["observations", "crps", "rmse", "bias", "coverage90"]).reset_index()


def as_text(table: pd.DataFrame, kind: str) -> str:
    """A table for each variable: a line for each experiment, best CRPS first, with intervals where there are any.

    `kind` says what the observations are, such as "readings at held-out stations".
    """
    blocks = []
    for variable, of_variable in table.groupby("variable", sort=False):
        crps = of_variable[of_variable["score"] == "crps"].sort_values("value")
        unit, number = crps[["unit", "observations"]].iloc[0]
        names = [name for name in TITLES if name in set(of_variable["score"])]
        by_score = of_variable.set_index(["experiment", "score"])
        cells = {each: [cell(by_score, (each, name)) for name in names] for each in crps["experiment"]}
        plain = "mapped values" if ", mapped by " in str(variable) else "the unit of the data"
        heading = f"{variable}: {number} {kind}; CRPS and RMSE in {plain if unit == NO_UNIT else unit}"
        lines = text_table("", [TITLES[name] for name in names], cells, CELL_WIDTH)
        blocks.append("\n".join([heading, *lines]))
    return "\n\n".join(blocks)


def cell(table: pd.DataFrame, index: tuple[str, str]) -> str:
    """Value and interval of an experiment and a score; empty if the table lacks it."""
    if index not in table.index:
        return ""
    value, low, high = table.loc[index, ["value", "low", "high"]]
    ends = "" if math.isnan(low) else f" ({significant(low)} to {significant(high)})"
    return f"{significant(value)}{ends}"
