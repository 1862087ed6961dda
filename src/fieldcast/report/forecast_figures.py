"""The figures of record of the task `forecast`, by the name that they are stored under."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from typing import NamedTuple

from matplotlib.figure import Figure
from PIL import Image

from fieldcast.figures import animation
from fieldcast.figures.forecast_maps import snapshot_maps, step_maps
from fieldcast.figures.lead_spectra import long_rollout_spectra, spectra_at_leads
from fieldcast.figures.leads import against_lead, variables_against_lead
from fieldcast.figures.long_rollout import long_run
from fieldcast.figures.ranks import lead_rank_histograms
from fieldcast.figures.training import loss_curves
from fieldcast.report import training
from fieldcast.report.forecast_results import Results

DAYS = (1, 5, 10)  # of rank histograms and spectra
MAPPED = 8  # experiments whose first steps are drawn
FILMED = 3  # experiments side by side in the film


class StepsName(NamedTuple):
    """Which first steps a figure shows."""

    experiment: str
    variable: str

    def __str__(self) -> str:
        # a name of a file, whatever the variable is called
        return re.sub(r"[^\w-]+", "-", f"steps_{self.experiment}_{self.variable}")


def draw(results: Results) -> dict[str, Figure]:
    """Every figure for which there is something to draw."""
    looks = results.looks
    found: dict[str, Figure] = {}
    board = results.leaderboard
    if len(board):
        found["scores_against_lead"] = against_lead(board, results.region, looks)
        found["skill_and_spread"] = against_lead(board, results.region, looks, scores=("skill", "ssr"))
        found["variables_against_lead"] = variables_against_lead(board, results.units, results.region, looks)
    found |= of_diagnostics(results)
    for name in steps_names(results):
        found[str(name)] = step_maps(results.examples[name.experiment], name.variable, name.experiment)
    found |= of_long_rollout(results)
    losses = training.trained(results.ordered("history"))
    if losses:
        found["losses"] = loss_curves(losses, looks)
    return found


def of_diagnostics(results: Results) -> dict[str, Figure]:
    """Rank histograms and spectra."""
    stored = results.ordered("diagnostics")
    if not stored:
        return {}
    leads = some_leads(next(iter(stored.values()))["lead"].to_numpy().astype(float).tolist())
    on_mean = [name for name, one in stored.items() if fed_on_mean(name, one.attrs)]
    found = {"spectra": spectra_at_leads(stored, leads, results.looks, fed_on_mean=on_mean)}
    if any(one.sizes["rank"] > 2 for one in stored.values()):
        found["rank_histograms"] = lead_rank_histograms(stored, leads, results.looks)
    return found


def fed_on_mean(experiment: str, attributes: Mapping[Hashable, object]) -> bool:
    """Whether the next step of an experiment starts from its ensemble mean: its forecasts or its name say so."""
    return attributes.get("feed") == "mean" or experiment.endswith("_mean")


def some_leads(leads: list[float]) -> list[float]:
    """Hours: 1, 5 and 10 days, where they were scored; else first, middle and last."""
    chosen = [lead for lead in leads if lead / 24 in DAYS]
    if len(chosen) < 2:
        chosen = [leads[0], leads[len(leads) // 2], leads[-1]]
    return list(dict.fromkeys(chosen))


def of_long_rollout(results: Results) -> dict[str, Figure]:
    """Curves step by step, spectra and maps of snapshots, of the first variable."""
    found = {}
    stability, snapshots = results.ordered("stability"), results.ordered("snapshots")
    if stability:
        found["stability"] = long_run(stability, results.looks)
    if snapshots:
        variable = str(next(iter(next(iter(snapshots.values())).data_vars)))
        found["snapshots"] = snapshot_maps(snapshots, variable)
        if set(snapshots) & set(results.diagnostics):
            found["stability_spectra"] = long_rollout_spectra(
                snapshots, results.diagnostics, variable, results.wraps
            )
    return found


def steps_names(results: Results) -> Iterator[StepsName]:
    """First steps to draw: of the first variable several experiments; of others the first alone."""
    stored = results.ordered("examples")
    if not stored:
        return
    variables = [str(name) for name in next(iter(stored.values())).data_vars]
    names = by_interest(results)
    for name in names[:MAPPED]:
        yield StepsName(name, variables[0])
    for variable in variables[1:]:
        yield StepsName(names[0], variable)


def filmed(results: Results) -> list[str]:
    """Experiments of the film."""
    return by_interest(results)[:FILMED]


def by_interest(results: Results) -> list[str]:
    """Experiments with examples: the two best learned ones by CRPS, the best other, then the rest; bounds last."""
    names = list(results.ordered("examples"))
    learned = [name for name in names if results.looks[name].learned]
    others = [name for name in names if name not in learned and name not in results.bounds]
    bounds = [name for name in names if name in results.bounds]
    return [*learned[:2], *others[:1], *learned[2:], *others[1:], *bounds]


def film(results: Results) -> list[Image.Image]:
    """Frames of the first variable; none without examples."""
    names = filmed(results)
    if not names:
        return []
    shown = {name: results.examples[name] for name in names}
    return animation.frames(shown, str(next(iter(next(iter(shown.values())).data_vars))))
