"""The sections of the task `forecast`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image

from fieldcast.figures.png import Picture
from fieldcast.report import training
from fieldcast.report.calibration import UNDERSPREAD
from fieldcast.report.film import player
from fieldcast.report.forecast_answer import answer
from fieldcast.report.forecast_figures import StepsName, filmed, steps_names
from fieldcast.report.forecast_results import Lead, LeadBoard, Results
from fieldcast.report.html import (
    Markup,
    Section,
    anchor,
    folded,
    join,
    missing,
    paragraph,
    picture,
    shown,
    tag,
)
from fieldcast.report.lead_tables import IN_UNITS, by_lead, horizons, regions, wide_table
from fieldcast.report.long_rollout import long_rollout
from fieldcast.report.variants import comparison

BOUNDS = (
    "Reddish: no better than the best of persistence, climatology and climatological ensemble, which cost nothing. "
    "Greenish, on the simulated planet: better than the perfect model, the simulator itself from a slightly wrong "
    "start, which nobody can be. Shaded about lines: 95 % intervals. A line that leaves a panel is worse than all it "
    "shows; one that ends has blown up."
)
RANKS = (
    "Where the truth lies among the members, averaged over variables: how often each rank occurs, times what a "
    "calibrated ensemble has (dashed); whiskers are 95 % intervals. High ends: too little spread; a dome: too much; a "
    "slope: a bias."
)
SPECTRA = (
    "1 is the right amount of structure of that size; falling to the right: the forecast is too smooth. Dotted: the "
    "ensemble mean of an experiment whose next step starts from it."
)
STEPS = "All maps share one colour scale, the truth’s. Members differ from one another by their noise alone."
TUNED = (
    "Chosen on the validation split for the lowest score: the mean over leads of the logarithm of the fair CRPS of "
    "short rollouts, in anomaly standard deviations."
)


def write(results: Results, figures: Mapping[str, Picture], frames: Sequence[Image.Image]) -> list[Section]:
    """All sections; each says what is missing where a run did not make it."""
    board = results.board
    parts = (
        ("The short answer", answer(results, board)),
        ("Scores against the lead", curves(figures)),
        ("Skill and spread", skill(results, board, figures)),
        ("The variants compared", comparison(results)),
        ("The first ten steps", steps(results, figures)),
        ("A film", film(results, frames)),
        ("Rank histograms", ranks(results, figures)),
        (
            "Spectra",
            shown(figures, "spectra", "Power of members relative to the truth", SPECTRA, "No spectra"),
        ),
        ("The long rollout", long_rollout(results, figures)),
        ("Regions", regions(results) if board else missing("No regions: nothing has been scored yet.")),
        ("Training and tuning", losses(results, figures)),
        ("Costs", training.costs_table(results.costs, results.order)),
        ("All scores", all_scores(results, board)),
    )
    return [Section(anchor("forecast", title), title, body) for title, body in parts]


def curves(figures: Mapping[str, Picture]) -> Markup:
    """Scores against the lead, overall and by variable."""
    overall = shown(
        figures, "scores_against_lead", "Scores against the lead", f"All variables. {BOUNDS}", "No curves"
    )
    if "variables_against_lead" not in figures:
        return overall
    title = "Scores of each variable against the lead"
    return join(
        [overall, picture(figures["variables_against_lead"], title, "Each variable in its own units.")]
    )


def skill(results: Results, board: LeadBoard | None, figures: Mapping[str, Picture]) -> Markup:
    """Skill and its horizon; the spread-skill ratio."""
    if board is None:
        return missing("No skill: nothing has been scored yet.")
    words = (
        "Left: 1 − CRPS / CRPS of the climatological ensemble; below zero it is better to draw any day of the season. "
        "Right: 1 is an ensemble that knows its error, below it is too sure of itself. Lines that leave are worse."
    )
    parts = [
        shown(figures, "skill_and_spread", "Skill and spread against the lead", words, "No curves"),
        horizons(results),
        by_lead(results, board, "ssr", f"Spread-skill ratio, 1 is calibrated. {IN_UNITS}"),
        folded(
            "Energy score", by_lead(results, board, "energy", f"Of whole maps, lower is better. {IN_UNITS}")
        ),
    ]
    return join(parts)


def steps(results: Results, figures: Mapping[str, Picture]) -> Markup:
    """Maps of the best experiment open, the others folded."""
    names = [name for name in steps_names(results) if str(name) in figures]
    if not names:
        return missing("No maps: no examples were stored.")
    first, *others = names
    return join(
        [
            paragraph(STEPS, kind="note"),
            steps_picture(figures, first),
            *(folded(f"{name.experiment}: {name.variable}", steps_picture(figures, name)) for name in others),
        ]
    )


def steps_picture(figures: Mapping[str, Picture], name: StepsName) -> Markup:
    """One figure of first steps."""
    return picture(figures[str(name)], f"First steps of {name.experiment}, {name.variable}")


def film(results: Results, frames: Sequence[Image.Image]) -> Markup:
    """The player."""
    if not frames:
        return missing("No film: no examples were stored.")
    names = filmed(results)
    leads = results.examples[names[0]]["lead"].to_numpy().astype(float)
    words = f"Truth, and of {', '.join(names)} the ensemble mean above one member. Stored beside this page as GIF."
    labels = ["start" if lead == 0 else str(Lead(lead)) for lead in leads]
    return player(frames, labels, "One forecast", words)


def ranks(results: Results, figures: Mapping[str, Picture]) -> Markup:
    """Rank histograms, and what to expect of VAEs."""
    words = "No rank histograms"
    body = shown(figures, "rank_histograms", "Rank histograms", RANKS, words)
    vae = any("vae" in name for name in results.order)
    return join([body, paragraph(UNDERSPREAD, kind="note") if vae else ""])


def losses(results: Results, figures: Mapping[str, Picture]) -> Markup:
    """Loss curves and tuned values."""
    tuned = training.tuning_table(results.history, TUNED, "score")
    return join([tag("h4", "Loss curves"), training.losses_shown(figures), tag("h4", "Tuned values"), tuned])


def all_scores(results: Results, board: LeadBoard | None) -> Markup:
    """Folded tables of every score at every lead, overall and by variable, over the whole grid."""
    if board is None:
        return missing("No scores.")
    parts = [
        paragraph("Regions and intervals of all of these stand in leaderboard_forecast.csv.", kind="note")
    ]
    known = results.leaderboard["variable"].unique()
    for variable in ("all", *(name for name in known if name != "all")):
        chosen = LeadBoard(results.leaderboard, variable=variable, region=results.region)
        unit = "anomaly standard deviations" if variable == "all" else results.units.get(variable, "")
        parts.append(
            folded(f"{'All variables' if variable == 'all' else variable}, {unit}", wide_table(chosen))
        )
    return join(parts)
