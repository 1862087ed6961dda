"""What a leaderboard of forecasts says: who is best in a few sentences, then tables by lead."""

from __future__ import annotations

from fieldcast.report.answer import compared, lowest
from fieldcast.report.forecast_results import LeadBoard, Results
from fieldcast.report.html import Markup, folded, join, missing, paragraph, tag
from fieldcast.report.lead_tables import IN_UNITS, by_lead
from fieldcast.report.scores import difference_table


def answer(results: Results, board: LeadBoard | None) -> Markup:
    """Who is best in a few sentences, then tables by lead."""
    notes = [missing(f"Not run: {', '.join(results.not_run)}.")] if results.not_run else []
    notes += [missing(sentence) for sentence in results.leaderboard.attrs.get("dropped", [])]
    if board is None:
        return join([missing("No experiment has been scored yet."), *notes])
    reference = results.reference
    if reference not in board.order:
        notes.append(missing(f"No paired differences: {reference} has not run."))
    start = "Lowest fair CRPS" + (
        " (the perfect model aside): " if set(results.bounds) & set(board.order) else ": "
    )
    said = lowest(board, board.shown, start, results.bounds)
    said += compared(board, board.shown, reference, results.bounds)
    crps = (
        f"Fair CRPS, {results.region}, lower is better. {IN_UNITS} Better or worse: than {reference}, paired start by "
        f"start, with a 95 % interval that leaves out zero."
    )
    rmse = f"RMSE of the ensemble mean, lower is better. {IN_UNITS}"
    paired = difference_table(board, board.shown, "Below zero is better; in small letters 95 % intervals.")
    more = (
        [folded(f"Fair CRPS minus that of {reference}, with the interval of the paired difference", paired)]
        if paired
        else []
    )
    return join(
        [
            paragraph(scored_in_words(results, board), kind="note"),
            tag("ul", *(tag("li", sentence) for sentence in said)),
            by_lead(results, board, "crps", crps),
            *more,
            folded("RMSE of the ensemble mean", by_lead(results, board, "rmse", rmse)),
            folded("Anomaly correlation", by_lead(results, board, "acc", f"Higher is better. {IN_UNITS}")),
            *notes,
        ]
    )


def scored_in_words(results: Results, board: LeadBoard) -> str:
    """From how many starts, when, how far."""
    last = f"to {board.leads[-1]}" if board.leads else ""
    known = [str(moment)[:10] for moment in (results.starts or {}).get("scored", [])]
    if not known:
        return f"Forecasts {last}."
    members = (results.starts or {}).get("members")
    drawn = f", {members} members where a model draws any" if members else ""
    return f"Forecasts {last} from {len(known)} starts, {min(known)} to {max(known)}{drawn}; the same for every method."
