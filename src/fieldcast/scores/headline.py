"""The score by which the console, MLflow and the champion compare experiments."""

import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import pandas as pd

from fieldcast.calendars import UNITS, unit_of
from fieldcast.scores.leaderboard import Layout, leaderboard
from fieldcast.scores.regions import WHOLE

MEDIUM_RANGE = (24.0, 120.0)  # first and last lead [hours]
RANKED_LINES = 8  # experiments of a task with a line each; the others share a paragraph
WIDTH = 100  # characters of a line


class Headline(NamedTuple):
    """The score by which experiments of a task are compared, lower is better, and what it is."""

    value: float
    title: str


Measure = Callable[[pd.DataFrame], Headline | None]  # None where the score was not computed


def reconstruction_headline(table: pd.DataFrame) -> Headline | None:
    """The fair CRPS [standard deviations], averaged over the cases (pattern and fraction observed)."""
    table = over_all(table)
    return mean_of("crps", table, f"mean fair CRPS at unobserved cells, given {observations(table)}")


def analysis_headline(table: pd.DataFrame) -> Headline | None:
    """The fair CRPS of analyses [standard deviations], averaged over the cases (pattern and fraction observed)."""
    return mean_of("crps", over_all(table), "mean fair CRPS of the analysis at unobserved cells")


def observations(table: pd.DataFrame) -> str:
    """The fractions observed and the patterns of a table, such as "5 % to 20 % of the cells, pattern random"."""
    levels = sorted({*table["k"]})
    fractions = " to ".join(f"{100 * k:g} %" for k in dict.fromkeys([*levels[:1], *levels[-1:]]))
    return f"{fractions} of the cells, pattern {', '.join(table['pattern'].unique())}"


def forecast_headline(table: pd.DataFrame) -> Headline | None:
    """The fair CRPS [standard deviations], averaged over the leads of `medium_range`."""
    table = over_all(table)
    first, last = medium_range(table)
    unit = unit_of(last)
    leads = f"{first / UNITS[unit]:g} to {last / UNITS[unit]:g} {unit}s"
    inside = table[table["lead_hours"].between(first, last)]
    return mean_of("crps", inside, f"mean fair CRPS over leads of {leads}")


def sample_headline(table: pd.DataFrame) -> Headline | None:
    """The KID of samples."""
    return mean_of("kid", over_all(table), "KID")


def mean_of(score: str, table: pd.DataFrame, title: str) -> Headline | None:
    """The mean of a score over the rows of a table."""
    values = table.loc[table["score"] == score, "value"].dropna()
    return Headline(float(values.mean()), title) if len(values) else None


def metric_rows(scores: pd.DataFrame, seed: int, layout: Layout) -> pd.DataFrame:
    """The leaderboard of one experiment over all variables, unobserved cells and the whole grid, with the digest of
    the scored selection; empty without scores."""
    if scores.empty:
        return scores
    data, scored = scores.iloc[0][["data_digest", "case_digest"]]
    table = leaderboard({"scores": scores}, data, scored, seed=seed, layout=layout)
    return over_all(table.assign(case_digest=scored))


def made_from(scores: pd.DataFrame) -> dict[str, str]:
    """Digests of the data and of the scored selection of the scores of which the rows are the headline."""
    names = "data_digest", "case_digest"
    return {} if scores.empty else {name: str(scores[name].iloc[0]) for name in names}


def medium_range(table: pd.DataFrame) -> tuple[float, float]:
    """First and last lead [hours] of the headline: one to five days, or the first five leads where none lies there."""
    leads = sorted(table["lead_hours"].unique())
    calendar = bool(leads) and unit_of(leads[0]) in ("month", "year")
    inside = [] if calendar else [lead for lead in leads if MEDIUM_RANGE[0] <= lead <= MEDIUM_RANGE[1]]
    selected = inside or leads[:5] or MEDIUM_RANGE
    return float(selected[0]), float(selected[-1])


def headlines(leaderboards: Mapping[str, pd.DataFrame], measures: Mapping[str, Measure]) -> str:
    """The experiments of each task that has headlines, best first: a screen of text."""
    texts = [
        "\n".join(ranking(task, board, measures[task])) for task, board in leaderboards.items() if len(board)
    ]
    return "\n\n".join(text for text in texts if text)


def ranking(task: str, leaderboard: pd.DataFrame, measure: Measure) -> Iterator[str]:
    """Lines about one task: the score, the best experiments one per line, and the others in a paragraph.

    There are none if no experiment has a headline.
    """
    by_experiment = {str(name): measure(part) for name, part in leaderboard.groupby("experiment", sort=False)}
    titles = [headline.title for headline in by_experiment.values() if headline]
    ranked = sorted((headline.value, name) for name, headline in by_experiment.items() if headline)
    if not ranked:
        return
    width = max(len(name) for _, name in ranked)
    yield f"{task}: {titles[0]} (lower is better)"
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
