"""The sections of the task `reconstruct`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fieldcast.figures.png import Picture
from fieldcast.figures.style import percent
from fieldcast.report import scores, training
from fieldcast.report.answer import short_answer
from fieldcast.report.board import Board
from fieldcast.report.calibration import calibration, spectra
from fieldcast.report.html import Markup, Section, anchor, folded, join, missing, paragraph, picture, tag
from fieldcast.report.reconstruct_figures import MapName, map_names
from fieldcast.report.reconstruct_results import Results

OVERALL = "Mean over variables in anomaly standard deviations, with 95 % intervals; the lowest is bold."
RK4 = (
    "The RK4 row is a negative result by construction: a network trained on whole one-step differences is "
    "no time derivative, so RK4 of it integrates another flow than the one that was learned. Where it lies "
    "below the Euler step that its weights were trained for, that is chance, not order of convergence."
)
MAPS = (
    "One scored time. All maps of the field share one colour scale and the levels of two contours; all "
    "errors share one scale, and all spreads. Grey: not observed. White: no such cell."
)


def write(results: Results, figures: Mapping[str, Picture]) -> list[Section]:
    """All sections; each says what is missing where a run did not make it."""
    board = results.board
    parts = (
        ("The short answer", answer(results, board)),
        ("Scores against the fraction observed", curves(results, figures)),
        ("Maps", maps(results, figures)),
        ("Error over time", over_time(figures)),
        ("Calibration: ranks and coverage", calibration(board, results.diagnostics, results.order, figures)),
        ("Spectra and effective resolution", spectra(results.diagnostics, results.order, figures)),
        ("Training and tuning", losses(results, figures)),
        ("Costs", training.costs_table(results.costs, results.order)),
        ("What was observed", masks(figures)),
        ("All scores", all_scores(results)),
    )
    return [Section(anchor("reconstruct", title), title, body) for title, body in parts]


def answer(results: Results, board: Board | None) -> Markup:
    """Who is best in a few sentences, then tables of random masks, then of the other patterns."""
    notes = [missing(f"Not run: {', '.join(results.not_run)}.")] if results.not_run else []
    notes += [missing(sentence) for sentence in results.leaderboard.attrs.get("dropped", [])]
    if board is None:
        return join([missing("No experiment has been scored yet."), *notes])
    reference = results.reference
    if reference not in board.order:
        notes.append(missing(f"No paired differences: {reference} has not run."))
    sentences = tag("ul", *(tag("li", sentence) for sentence in short_answer(board, reference)))
    return join(
        [sentences, *tables(board, reference, random=True), *tables(board, reference, random=False), *notes]
    )


def tables(board: Board, reference: str, random: bool) -> Iterable[Markup]:
    """CRPS and RMSE on unobserved cells of one group of patterns; folded, the paired difference of CRPS."""
    cases = board.cases(random)
    if not cases:
        return
    yield tag("h4", "Random cells observed" if random else "Other patterns")
    paired = (
        f"Better or worse: than {reference}, paired at each time, with a 95 % interval that leaves out zero."
    )
    crps = f"Fair CRPS on unobserved cells, lower is better. {OVERALL} {paired}"
    yield scores.score_table(board, "crps", cases, reference, crps)
    difference = scores.difference_table(
        board, cases, "Below zero is better; in small letters 95 % intervals."
    )
    if difference:
        yield folded(
            f"Fair CRPS minus that of {reference}, with the interval of the paired difference", difference
        )
    rmse = f"RMSE of the ensemble mean on unobserved cells, lower is better. {OVERALL}"
    whole = scores.score_table(board, "rmse", cases, reference, rmse)
    yield whole if random else folded("RMSE of the ensemble mean", whole)


def curves(results: Results, figures: Mapping[str, Picture]) -> Markup:
    """Scores against k, overall and by variable."""
    if "scores_against_k" not in figures:
        return missing("No curves: no experiment has been scored yet.")
    where = f"Pattern {results.main_pattern}, unobserved cells; shaded: 95 % intervals."
    parts = [
        picture(
            figures["scores_against_k"],
            "Scores against fraction observed",
            f"{where} All variables together.",
        ),
        picture(
            figures["variables_against_k"],
            "Scores of each variable against fraction observed",
            f"{where} Each variable in its own units.",
        ),
    ]
    if "denoising_vae_residual_rk4" in results.order:
        parts.append(paragraph(RK4, kind="note"))
    return join(parts)


def maps(results: Results, figures: Mapping[str, Picture]) -> Markup:
    """Truth, observations, reconstructions: the main pattern open, everything else folded."""
    names = [name for name in map_names(results) if str(name) in figures]
    if not names:
        return missing("No maps: no examples were stored.")
    caption = paragraph(MAPS, kind="note")
    opened = [name for name in names if name.pattern == results.main_pattern and name[2:] == names[0][2:]]
    parts = [caption, *(map_picture(figures, name) for name in opened)]
    for name in names:
        if name not in opened:
            parts.append(folded(map_title(name), map_picture(figures, name)))
    return join(parts)


def map_title(name: MapName) -> str:
    """What the maps show, in words."""
    title = f"{name.variable}, pattern {name.pattern}, {percent(name.k)} observed"
    return title + (", further baselines" if name.part else "") + (", another time" if name.time else "")


def map_picture(figures: Mapping[str, Picture], name: MapName) -> Markup:
    """The figure of these maps."""
    return picture(figures[str(name)], f"Maps: {map_title(name)}")


def over_time(figures: Mapping[str, Picture]) -> Markup:
    """The reports' figure."""
    if "error_over_time" not in figures:
        return missing("No errors over time: no scores were stored.")
    caption = (
        "RMSE on unobserved cells at each scored time, one line for each fraction observed, all variables."
    )
    return picture(figures["error_over_time"], "Error over time", caption)


def losses(results: Results, figures: Mapping[str, Picture]) -> Markup:
    """Loss curves and tuned values."""
    tuned = training.tuning_table(results.history)
    return join([tag("h4", "Loss curves"), training.losses_shown(figures), tag("h4", "Tuned values"), tuned])


def masks(figures: Mapping[str, Picture]) -> Markup:
    """A picture of each pattern."""
    if "masks" not in figures:
        return missing("No pictures of masks: no observations were given.")
    caption = "The first stored mask of each case; dark cells were observed. All methods saw the same masks."
    return picture(figures["masks"], "Masks of each pattern", caption)


def all_scores(results: Results) -> Markup:
    """Folded tables of every score: overall and by variable, on unobserved and on all cells."""
    board = results.leaderboard
    if not len(board):
        return missing("No scores.")
    parts = [paragraph("Intervals of all of these stand in leaderboard_reconstruct.csv.", kind="note")]
    for variable in ("all", *(name for name in board["variable"].unique() if name != "all")):
        for cells in ("unobserved", "all"):
            chosen = Board(board, cells, variable)
            if chosen.scores:
                unit = "anomaly standard deviations" if variable == "all" else results.units.get(variable, "")
                title = f"{'All variables' if variable == 'all' else variable}, {unit}, {cells} cells"
                parts.append(folded(title, scores.wide_table(chosen)))
    return join(parts)
