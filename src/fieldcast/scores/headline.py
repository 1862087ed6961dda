"""The score by which the console, MLflow and the champion compare experiments."""

import textwrap
from collections.abc import Iterator, Mapping

import pandas as pd

from fieldcast.scores.leaderboard import leaderboard
from fieldcast.scores.leaderboard_schema import Layout
from fieldcast.scores.regions import WHOLE
from fieldcast.time_steps import UNITS, unit_of

MEDIUM_RANGE = (24.0, 120.0)  # first and last lead [hours]
RANKED_LINES = 8  # experiments of a task with a line each; the others share a paragraph
WIDTH = 100  # characters of a line


def headline(table: pd.DataFrame) -> float | None:
    """The score by which experiments of a task are compared, lower is better; None where it was not computed.

    It is the fair CRPS [standard deviations], averaged over the cases (pattern and fraction observed) of
    reconstructions and analyses, or the leads of one to five days of a forecast (its first five leads, where none of
    these exists), and the KID of samples.
    """
    table = over_all(table)
    if "lead_hours" in table:
        table = table[table["lead_hours"].between(*medium_range(table))]
    for score in ("crps", "kid"):
        values = table.loc[table["score"] == score, "value"].dropna()
        if len(values):
            return float(values.mean())
    return None


def headline_rows(scores: pd.DataFrame, seed: int, layout: Layout) -> pd.DataFrame:
    """The leaderboard of one experiment over all variables, unobserved cells and the whole grid, with the digest of
    the scored selection; empty without scores."""
    if scores.empty:
        return scores
    data, scored = scores.iloc[0][["data", "scored"]]
    table = leaderboard({"scores": scores}, data, scored, seed=seed, layout=layout)
    return over_all(table.assign(scored=scored))


def headline_title(table: pd.DataFrame) -> str:
    """Name what `headline` computes for a table of this task."""
    if "lead_hours" in table:
        first, last = medium_range(table)
        unit = unit_of(last)
        return f"mean fair CRPS over leads of {first / UNITS[unit]:g} to {last / UNITS[unit]:g} {unit}s"
    if "state" in table:
        return "mean fair CRPS of the analysis at unobserved cells"
    if "k" in table:
        return "mean fair CRPS at unobserved cells"
    return "KID" if "kid" in set(table["score"]) else "mean fair CRPS"


def medium_range(table: pd.DataFrame) -> tuple[float, float]:
    """First and last lead [hours] of the headline: one to five days, or the first five leads where none lies there."""
    leads = sorted(table["lead_hours"].unique())
    calendar = bool(leads) and unit_of(leads[0]) in ("month", "year")
    inside = [] if calendar else [lead for lead in leads if MEDIUM_RANGE[0] <= lead <= MEDIUM_RANGE[1]]
    selected = inside or leads[:5] or MEDIUM_RANGE
    return float(selected[0]), float(selected[-1])


def headlines(leaderboards: Mapping[str, pd.DataFrame]) -> str:
    """The experiments of each task that has headlines, best first: a screen of text."""
    texts = ["\n".join(ranking(*item)) for item in leaderboards.items() if len(item[1])]
    return "\n\n".join(text for text in texts if text)


def ranking(task: str, leaderboard: pd.DataFrame) -> Iterator[str]:
    """Lines about one task: the score, the best experiments one per line, and the others in a paragraph.

    There are none if no experiment has a headline, as in a task of an installed package with scores of its own.
    """
    scores = {str(name): headline(part) for name, part in leaderboard.groupby("experiment", sort=False)}
    ranked = sorted((score, name) for name, score in scores.items() if score is not None)
    if not ranked:
        return
    width = max(len(name) for _, name in ranked)
    yield f"{task}: {headline_title(leaderboard)} (lower is better)"
    for score, name in ranked[:RANKED_LINES]:
        yield f"  {name:<{width}}  {format_score(score):>8}"
    if others := ", ".join(f"{name} {format_score(score)}" for score, name in ranked[RANKED_LINES:]):
        yield textwrap.fill(f"then {others}", WIDTH, initial_indent="  ", subsequent_indent="  ")


def format_score(score: float) -> str:
    """A score with three decimal places, or with three significant digits if it is large."""
    return f"{score:.3f}" if abs(score) < 100 else f"{score:.3g}"


def over_all(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table over all variables, unobserved cells and the whole grid; of cycles, those of the analyses."""
    if "region" in table:
        table = table[table["region"].isin(WHOLE)]
    for column, value in (("variable", "all"), ("cells", "unobserved"), ("state", "analysis")):
        if column in table:
            table = table[table[column] == value]
    return table
