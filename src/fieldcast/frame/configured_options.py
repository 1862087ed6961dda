"""Options of this configuration, in the form of the lineage of stored data."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kedro.io import CatalogProtocol
from pydantic import TypeAdapter

from fieldcast.encoding import cycle_observations, initial_times, observations
from fieldcast.experiments import Experiment
from fieldcast.fields.paths import require
from fieldcast.lineage import Lineage, differences
from fieldcast.pipelines.ingestion.nodes import split
from fieldcast.pipelines.parameters import experiment_types, type_of
from fieldcast.tasks import TASKS
from fieldcast.training.run import Recipe

# data sets that are made from the fields
MADE_FROM_FIELDS = ("splits", "initial_times", "observations", "cycle_observations")
LINEAGE = "lineage"  # attribute that holds a lineage as JSON, or its digest
OTHER_FILES = "it was made with other options of ingestion, or from files that have changed since."


@dataclass(frozen=True)
class ConfiguredOptions:
    """Options of a configuration, for comparison with those of stored data.

    Parameters
    ----------
    catalog
        Data sets and parameters of this configuration.
    listed
        Experiments by address.
    """

    catalog: CatalogProtocol
    listed: Mapping[str, Experiment]

    def complaint(self, name: str, stored: Lineage, inputs: Collection[str]) -> str | None:
        """Name the first option that differs from the one a data set was made with, and both values.

        inputs: inputs of the node that makes the data set. Raises InputError for options that a run would refuse with
        these data.
        """
        if name == "fields":
            before, now = stored.get(LINEAGE), self.ingestion_digest()
            return OTHER_FILES if None not in (before, now) and before != now else None
        change = next(self._changes(name, stored, inputs), None)
        if change is None:
            return None
        key, before, now = change
        return f"it was made with {key} = {as_json(before)}; this configuration has {as_json(now)}."

    def ingestion_digest(self) -> str | None:
        """Digest of the options of ingestion and of its files; None where these are no longer there."""
        ingestion = self._read("ingestion")
        try:
            for option, path in ingestion.files:
                require(path, option)
            digest: str = ingestion.lineage()
        except (OSError, ValueError):  # an InputError is a ValueError
            return None
        return digest

    def training_options(self, experiment: Experiment) -> Lineage:
        """Model, fit, seed and options of the task that a checkpoint would be made with.

        Only the model for a task without `problem`, which makes its checkpoints in its own way.
        """
        address, task = experiment.address, TASKS[experiment.task]
        model, seed = self.catalog.load(f"params:{address}.model"), self.catalog.load("params:seed")
        if task.problem is None:
            return {"model": model}
        names = (f"{address}.{name}" if name in task.types else name for name in task.options)
        problem = task.problem(*(self._read(name, experiment) for name in names))
        fit, limits = self._read(f"{address}.fit"), self._read("limits")
        return {**Recipe(problem, model, fit, seed, limits, "cpu").options(), "seed": seed}

    def draw_options(self, inputs: Collection[str], experiment: Experiment) -> Lineage:
        """Seed, numbers and feedback of draws, if these store them; forecasts have those of `initial_times`."""
        sections = TASKS[experiment.task].draw_sections
        if sections is None:
            return {}
        limits, present = self._read("limits"), {"seed": self.catalog.load("params:seed")}
        for section in (name for name in sections if f"params:{name}" in inputs):
            present |= self._read(section).capped(limits)
        options_name = f"{experiment.address}.options"
        if f"params:{options_name}" in inputs and hasattr(
            options := self._read(options_name, experiment), "feedback"
        ):
            present["feedback"] = options.feedback
        return present

    def _changes(self, name: str, stored: Lineage, inputs: Collection[str]) -> Iterator[tuple[str, Any, Any]]:
        address, _, kind = name.rpartition(".")
        if name in MADE_FROM_FIELDS and not all(self.catalog.exists(each) for each in ("fields", "splits")):
            return  # part of a data root, as one machine of several has it
        if name in MADE_FROM_FIELDS:
            fields, splits = self.catalog.load("fields"), self.catalog.load("splits")
        if name == "splits":
            yield from differences(stored, split(fields, self._read("ingestion")))
        elif name == "initial_times":
            chosen = initial_times.select_initial_times(
                fields, splits, self._read("rollout"), self._read("limits")
            )
            yield from differences(stored, {key: value for key, value in chosen.items() if key != "digest"})
        elif name == "cycle_observations":
            cycling, options, limits = (
                self._read(section) for section in ("assimilation", "sparsification", "limits")
            )
            times = cycle_observations.cycled_states(fields, splits, cycling, limits).sizes["time"]
            present = cycle_observations.lineage_of(fields, splits, options, cycling, times)
            yield from differences(json.loads(stored.get(LINEAGE, "{}")), present)
        elif name == "observations":
            options, limits = self._read("sparsification"), self._read("limits")
            times = observations.scored_times(fields, splits, options, limits).sizes["time"]
            present = observations.lineage_of(fields, splits, options, times)
            yield from differences(json.loads(stored.get(LINEAGE, "{}")), present)
        elif kind == "checkpoint" and address in self.listed:
            yield from differences(stored, self.training_options(self.listed[address]))
        elif kind == "draws" and address in self.listed:
            yield from differences(stored, self.draw_options(inputs, self.listed[address]))

    def _read(self, name: str, experiment: Experiment | None = None) -> Any:
        """A parameter by dotted name, in the type that the nodes take."""
        further = experiment_types(TASKS[experiment.task], experiment) if experiment else {}
        kind = type_of(f"params:{name}", further)
        return TypeAdapter(kind).validate_python(self.catalog.load(f"params:{name}"))


def as_json(value: Any) -> str:
    """A value as JSON, cut if it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:56]} ..."
