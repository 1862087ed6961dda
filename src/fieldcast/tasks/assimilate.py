"""The task `assimilate`: cycles of a one-step forecast and an update by the observations of its time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import xarray as xr

from fieldcast import calendars
from fieldcast.calendars import TimeStep
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.checkpoint import model_digest, read_header
from fieldcast.encoding.cycle_observations import require_cycle_observations
from fieldcast.encoding.event_thresholds import ScoredEvents
from fieldcast.encoding.options import CycledAssimilation, Limits, Sparsification
from fieldcast.errors import InputError
from fieldcast.experiments import descriptions, roles
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges
from fieldcast.figures.sheet import outline
from fieldcast.kinds import CASE, STATE, STEP
from fieldcast.models.assimilation.filter import Filter
from fieldcast.models.core import Model
from fieldcast.report import Assimilate
from fieldcast.scores.assimilation import STATES, assimilation_statistics, lead_time_lost
from fieldcast.scores.event_tables import EventTables
from fieldcast.scores.event_tables import event_scores as scores_of_events
from fieldcast.scores.examples import examples
from fieldcast.scores.leaderboard import ASSIMILATE as LAYOUT
from fieldcast.scores.leaderboard import empty_leaderboard, leaderboard, scores_of_run
from fieldcast.scores.statistics_table import CELLS, origin_of, scored_digest, with_origin
from fieldcast.scores.summary import assimilate_summary
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.tasks.records import StoredResults
from fieldcast.tasks.scoring_inputs import cell_areas, example_anomalies, outside_range, require_draws
from fieldcast.training.batches import Batches
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe
from fieldcast.training.stored_model import StoredModel
from fieldcast.training.task import OnFields, TrainingTask

FILM_STEPS = 1, 2, 4, 8, 16, 30  # steps of a cycle that the film shows
FILM_FRACTIONS = (0.05,)  # the film shows the case whose observed fraction is nearest to this one


@dataclass(frozen=True)
class Assimilation(OnFields):
    """Successive states from the observations of each time, for which a filter is calibrated."""

    cycling: CycledAssimilation
    sparsification: Sparsification
    task: ClassVar[str] = "assimilate"

    def fit_options(self) -> dict[str, Any]:
        """The cycles of the calibration, the errors of observations, and the members that values are tuned for."""
        observing_network = {name: getattr(self.sparsification, name) for name in ("noise", "per_variable")}
        return {
            "calibration": asdict(self.cycling.calibration),
            "network": observing_network,
            "members": self.cycling.members,
        }

    def check(self, kind: str, model: Model, fit: Fit) -> None:
        """Raise an InputError for a model that is not a filter."""
        if not isinstance(model, Filter):
            raise InputError(
                f"{kind} is not a filter: choose a model of assimilation, or draw from an experiment of reconstruct "
                "with uses: {weights: reconstruct.<name>}."
            )

    def batches(
        self, split: xr.Dataset, codec: FieldCodec, model: Model, fit: Fit, training: bool
    ) -> Batches:
        """Raise: a filter is calibrated by cycles, not by batches."""
        raise TypeError("a filter is calibrated by cycles")


def problem_of(
    stored: StoredModel, cycling: CycledAssimilation, sparsification: Sparsification
) -> TrainingTask:
    """The problem that the checkpoint was fitted to: cycles, or the single times of a reconstruction."""
    if read_header(stored.checkpoint, "the checkpoint").get("task") == Reconstruction.task:
        return Reconstruction(sparsification)
    return Assimilation(cycling, sparsification)


def checkpoint_made_from(
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    model: dict[str, Any], fit: Fit, seed: int, limits: Limits,
    assimilation: CycledAssimilation, sparsification: Sparsification, **parts: bytes,
) -> dict[str, Any]:  # fmt: skip
    """Everything that a trained model depends on; `parts` are the checkpoints that its training uses, by role."""
    data = PreparedData(fields, climatology, normalisation, splits)
    return Recipe(Assimilation(assimilation, sparsification), model, fit, seed, limits, "cpu").made_from(
        data, parts
    )


def draws_made_from(
    checkpoint: bytes, model: dict[str, Any], cycle_observations: xr.Dataset, assimilation: CycledAssimilation,
    limits: Limits, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Everything that the analyses and backgrounds of a cycle depend on."""
    header = read_header(checkpoint, "its checkpoint")
    return {
        "observations": cycle_observations.attrs["digest"],
        "model": model_digest(header, model),
        "base": header["base"],
        "members": limits.cap("members", assimilation.members),
        "seed": seed,
    }


def scores_made_from(
    cycle_observations: xr.Dataset, assimilation: CycledAssimilation, limits: Limits
) -> dict[str, str]:
    """Digests of the data and of the scored selection, which the scores in one leaderboard share."""
    scored = scored_digest(cycle_observations, limits.cap("members", assimilation.members))
    return {"data_digest": cycle_observations.attrs["data"], "case_digest": scored}


def after_spin_up(data: xr.Dataset, observations: xr.Dataset) -> xr.Dataset:
    """The scored part: the times after the spin-up."""
    return data.isel(time=slice(int(observations.attrs["spin_up"]), None))


def score(
    draws: xr.Dataset, cycle_observations: xr.Dataset, stored: StoredModel, data: PreparedData,
    assimilation: CycledAssimilation, sparsification: Sparsification, scored_events: ScoredEvents,
) -> tuple[pd.DataFrame, xr.Dataset, xr.Dataset]:  # fmt: skip
    """Statistics at each scored time, with the digest of the scored selection; diagnostics; tables of events."""
    observations, problem = cycle_observations, problem_of(stored, assimilation, sparsification)
    require_cycle_observations(
        observations,
        data.fields,
        data.normalisation,
        data.splits,
        sparsification,
        assimilation,
        stored.limits,
    )
    stored.digest(data, problem)
    checkpoint, seed = stored.checkpoint, stored.seed
    present = draws_made_from(checkpoint, stored.model, observations, assimilation, stored.limits, seed)
    require_draws(draws, present, "analyses", "assimilation")
    scored_observations = after_spin_up(observations, observations)
    events = scored_events.tables(data)
    scores, diagnostics = assimilation_statistics(
        after_spin_up(draws, observations),
        scored_observations,
        data.fields,
        climatology=data.climatology,
        normalisation=data.normalisation,
        area=cell_areas(data.fields),
        seed=seed,
        events=events,
    )
    digests = scores_made_from(observations, assimilation, stored.limits)
    origin = seed, digests["data_digest"], digests["case_digest"], TimeStep.of(data.fields)
    tables = events_of_cycles(events, scored_observations, data.normalisation)
    diagnostics = diagnostics.assign_attrs(outside_range(draws, data.fields))
    return with_origin(scores, *origin), diagnostics, tables.assign_attrs(origin_of(*origin))


def events_of_cycles(events: EventTables, observations: xr.Dataset, normalisation: xr.Dataset) -> xr.Dataset:
    """Contingency tables of backgrounds and analyses by state, pattern, k and cells."""
    count = observations.sizes[CASE]
    pattern, k = (np.tile(observations[name].to_numpy(), len(STATES)) for name in ("pattern", "k"))
    coordinates = {
        STATE: (CASE, np.repeat(STATES, count)),
        "pattern": (CASE, pattern.astype(str)),
        "k": (CASE, k.astype(float).round(6)),
        "cells": list(CELLS),
    }
    deviations = normalisation["anomaly_std"].sel(variable=list(observations.data_vars))
    return events.dataset(CASE, "cells", calendars.iso(observations["time"]), deviations, coordinates)


def show(
    draws: xr.Dataset, cycle_observations: xr.Dataset, fields: xr.Dataset
) -> tuple[xr.Dataset, xr.Dataset]:
    """A few analyses of scored times to look at; a film of the first steps, from the climatological start."""
    analyses = draws.sel({STATE: "analysis"}, drop=True)
    steps = [step for step in FILM_STEPS if step <= analyses.sizes["time"]]
    first = {"time": [step - 1 for step in steps]}
    film = examples(analyses.isel(first), cycle_observations.isel(first), fields, FILM_FRACTIONS, len(steps))
    scored = after_spin_up(analyses, cycle_observations)
    scored_examples = examples(scored, after_spin_up(cycle_observations, cycle_observations), fields)
    return scored_examples, film.isel({CASE: [0]}).assign_coords({STEP: ("time", steps)})


def scored_of_run(results: StoredResults, assimilation: CycledAssimilation, limits: Limits) -> str | None:
    """Digest of the scored selection of the stored observations; None if there are none."""
    observations = results.get("cycle_observations")
    if observations is None:
        return None
    return scores_made_from(observations, assimilation, limits)["case_digest"]


def rank(
    results: StoredResults, fields: xr.Dataset, assimilation: CycledAssimilation, limits: Limits, seed: int
) -> tuple[pd.DataFrame, str]:
    """The leaderboard of the experiments that have been scored on these observations, and its summary."""
    scored = scored_of_run(results, assimilation, limits)
    if scored is None:
        return empty_leaderboard(LAYOUT), ""
    by_role = roles(descriptions(results["experiments"]))
    table = leaderboard(
        results.get("scores", {}), fields.attrs["digest"], scored, seed=seed, layout=LAYOUT, roles=by_role
    )
    return table, assimilate_summary(table)


def cycle_events(
    results: StoredResults, fields: xr.Dataset, assimilation: CycledAssimilation, limits: Limits, seed: int
) -> pd.DataFrame:
    """Scores of events of the experiments that have been scored on these observations."""
    scored = scored_of_run(results, assimilation, limits)
    if scored is None:
        return scores_of_events({}, "", "", LAYOUT)
    return scores_of_events(results.get("events", {}), fields.attrs["digest"], scored, LAYOUT, seed)


def tabulate_leads(
    results: StoredResults, fields: xr.Dataset, assimilation: CycledAssimilation, limits: Limits
) -> pd.DataFrame:
    """The lead time lost by forecasts from the analyses of the experiments scored on these observations."""
    scored = scored_of_run(results, assimilation, limits)
    if scored is None:
        return lost_by_experiment(results, ())
    scores, _ = scores_of_run(results.get("scores", {}), fields.attrs["digest"], scored)
    return lost_by_experiment(results, scores["experiment"])


def lost_by_experiment(results: StoredResults, experiments: Iterable[str]) -> pd.DataFrame:
    """The lead time lost by forecasts from the analyses of some experiments."""
    leads = results.get("leads", {})
    tables = [
        lead_time_lost(leads[name]).assign(experiment=name) for name in sorted({*experiments} & {*leads})
    ]
    columns = ["experiment", "pattern", "k", "lead_hours", "crps", "crps_from_truth", "lost_hours"]
    return pd.concat(tables)[columns] if tables else pd.DataFrame(columns=columns)


def page(
    leaderboard: pd.DataFrame, results: StoredResults, fields: xr.Dataset, climatology: xr.Dataset,
    event_scores: pd.DataFrame,
) -> tuple[dict[str, Assimilate], dict[str, bytes]]:  # fmt: skip
    """The results for the page, and their figures; empty if nothing has been scored."""
    if leaderboard.empty:
        return {}, {}
    anomalies = {
        kind: {name: example_anomalies(stored, climatology) for name, stored in results.get(kind, {}).items()}
        for kind in ("examples", "film")
    }
    stored = {
        "observations" if kind == "cycle_observations" else kind: values
        for kind, values in results.items()
        if kind != "leads"
    }
    cycles = Assimilate(
        leaderboard=leaderboard,
        **{**stored, **anomalies},
        event_scores=event_scores,
        outline=outline(fields),
        leads=lost_by_experiment(results, leaderboard["experiment"]),
    )
    return {"assimilate": cycles}, {name: picture.png for name, picture in cycles.pictures().items()}
