"""Figures of the task `forecast`: scores and diagnostics against lead time, events, first steps, long rollouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import xarray as xr
from matplotlib.figure import Figure

from fieldcast.figures.forecast_maps import snapshot_maps, step_maps
from fieldcast.figures.glance import forecast_glance
from fieldcast.figures.leads import against_lead, variables_against_lead
from fieldcast.figures.long_rollout import long_run
from fieldcast.figures.ranks import lead_rank_histograms
from fieldcast.figures.spectra import long_rollout_spectra, spectra_at_leads
from fieldcast.report.events import event_figures
from fieldcast.report.results import GLANCE
from fieldcast.time_steps import lead_label

if TYPE_CHECKING:
    from fieldcast.report.forecast import Forecast

DAYS = (1, 5, 10)  # lead times of rank histograms and spectra


def at_a_glance(results: Forecast) -> dict[str, Figure]:
    """The best experiment on the first screen; empty without examples of it."""
    best = results.best
    if best not in results.examples:
        return {}
    stored = results.examples[best]
    variable = str(next(iter(stored.data_vars)))
    figure = forecast_glance(
        stored, variable, results.glance_lead.hours, results.label(best), results.outline
    )
    return {GLANCE: figure}


def of_scores(results: Forecast) -> dict[str, Figure]:
    """Scores against lead time, over all variables and by variable."""
    if not len(results.leaderboard):
        return {}
    board, looks, region = results.labelled_leaderboard, results.looks, results.region
    return {
        "scores_against_lead": against_lead(board, region, looks),
        "skill_and_spread": against_lead(board, region, looks, scores=("skill", "ssr")),
        "variables_against_lead": variables_against_lead(board, results.units, region, looks),
    }


def of_diagnostics(results: Forecast) -> dict[str, Figure]:
    """Spectra and, of ensembles, rank histograms."""
    stored = results.labelled("diagnostics")
    if not stored:
        return {}
    leads = representative_leads(next(iter(stored.values()))["lead"].to_numpy().astype(float).tolist())
    drawn = {"spectra": spectra_at_leads(stored, leads, results.looks, fed_on_mean=results.fed_back)}
    if any(dataset.sizes["rank"] > 2 for dataset in stored.values()):
        drawn["rank_histograms"] = lead_rank_histograms(stored, leads, results.looks)
    return drawn


def of_events(results: Forecast) -> dict[str, Figure]:
    """Reliability, ROC curve and economic value at some lead times."""
    if not results.events:
        return {}
    leads = representative_leads(
        next(iter(results.events.values()))["lead_hours"].to_numpy().astype(float).tolist()
    )
    cases = {lead_label(lead): {"lead_hours": lead, "region": results.region} for lead in leads}
    return event_figures(results, cases)


def of_first_steps(results: Forecast) -> dict[str, Figure]:
    """Maps of the first steps of several experiments and variables."""
    return {
        steps.file: step_maps(
            results.examples[steps.experiment],
            steps.variable,
            results.label(steps.experiment),
            outline=results.outline,
        )
        for steps in results.steps()
    }


def of_long_rollouts(results: Forecast) -> dict[str, Figure]:
    """Curves by step, and spectra and maps of snapshots of the first variable."""
    drawn = {}
    if stability := results.labelled("stability"):
        drawn["stability"] = long_run(stability, results.looks)
    if snapshots := results.labelled("snapshots"):
        variable = first_variable(snapshots)
        maps = results.labelled("snapshot_anomalies") or snapshots
        drawn["snapshots"] = snapshot_maps(maps, variable, results.units.get(variable, ""), results.outline)
        if set(results.snapshots) & set(results.diagnostics):
            drawn["stability_spectra"] = long_rollout_spectra(
                snapshots, results.labelled("diagnostics"), variable, results.wraps
            )
    return drawn


def first_variable(stored: Mapping[str, xr.Dataset]) -> str:
    """The first variable of the first experiment."""
    return str(next(iter(next(iter(stored.values())).data_vars)))


def representative_leads(leads: Sequence[float]) -> list[float]:
    """Lead times [hours] of 1, 5 and 10 days if at least two were scored; else first, middle and last."""
    standard = [lead for lead in leads if lead / 24 in DAYS]
    return list(
        dict.fromkeys(standard if len(standard) > 1 else (leads[0], leads[len(leads) // 2], leads[-1]))
    )
