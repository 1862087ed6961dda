"""The pipelines by name: stages, tasks, experiments, `demo`, reports, and those that stand alone, such as `fill`.

A stage is a pipeline, an experiment is a namespace `<task>.<name>`, found by listing the configuration; nothing is
edited here to add one. Names of data sets with dots are private to an experiment, all others are shared.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from fieldcast.errors import InputError
from fieldcast.experiments import Experiment, Needs, Selection, experiments, requirements, selections
from fieldcast.fields.options import provided
from fieldcast.frame.conf_source import configuration_folder, require_configuration
from fieldcast.pipelines.assembly import (
    WithReporting,
    base_name,
    experiment_pipeline,
    own_stages,
    stage,
    stage_pipeline,
    union,
)
from fieldcast.pipelines.on_demand import Pipelines

if TYPE_CHECKING:
    from fieldcast.tasks import Task

# pipelines on a user's file with trained models, and on finished runs
STANDALONE = ("fill", "stations", "gridding", "predict", "cycle", "seeds")
COMPLETE = ("__default__", "gaps", *STANDALONE)  # together they hold every node

CONTEXT: ContextVar[KedroContext | None] = ContextVar(
    "CONTEXT", default=None
)  # context of the current session
CATALOG: ContextVar[CatalogProtocol | None] = ContextVar("CATALOG", default=None)  # catalog of the last run


def register_pipelines() -> Mapping[str, Pipeline]:
    """Every pipeline by name."""
    from fieldcast.tasks import TASKS  # here: it imports the tasks of plug-ins

    conf, listed = configuration(), listed_experiments()
    for experiment in listed.values():
        check_experiment(experiment, TASKS)
    registry = Registry(TASKS, listed, left_out(listed))
    return Pipelines(registry.makers() | registry.selections(selections(conf, listed)))


def listed_experiments() -> dict[str, Experiment]:
    """The experiments of the configuration, by address."""
    return experiments(configuration())


def complete(pipelines: Mapping[str, Pipeline]) -> dict[str, Pipeline]:
    """The registered ones of the pipelines `COMPLETE`, by name."""
    return {name: pipelines[name] for name in COMPLETE if name in pipelines}


class Registry:
    """Pipelines of the stages of all tasks, and of experiments.

    Parameters
    ----------
    tasks
        Tasks by name.
    listed
        Experiments by address.
    without
        Addresses of experiments that only pipelines of their own name hold.
    """

    def __init__(
        self, tasks: Mapping[str, "Task"], listed: Mapping[str, Experiment], without: Collection[str] = ()
    ) -> None:
        self.tasks, self.listed = tasks, listed
        self.selected = [each for address, each in listed.items() if address not in without]
        self.by_task = {
            name: group
            for name in tasks
            if (group := [each for each in listed.values() if each.task == name])
        }
        self.ranked = [(tasks[name], group) for name, group in self.by_task.items()]
        self._experiments: dict[tuple[str, ...], Pipeline] = {}

    @cached_property
    def preparation(self) -> dict[str, Pipeline]:
        """Stages that run once for all experiments, by name."""
        from fieldcast.pipelines.steps import in_box  # imported here because it takes half a second

        names = dict.fromkeys(name for task in self.tasks.values() for name in task.preparation)
        return {name: Pipeline(in_box(stage(name).create_pipeline(), name), tags=name) for name in names}

    @cached_property
    def shared(self) -> set[str]:
        """Data sets that these stages make."""
        outputs = (output for pipeline in self.preparation.values() for output in pipeline.all_outputs())
        return {base_name(output) for output in outputs}

    def makers(self) -> dict[str, Callable[[], Pipeline]]:
        """Functions that make each stage, and each pipeline that stands alone."""
        stages = dict.fromkeys(
            name for each in self.listed.values() for name in own_stages(each, self.tasks[each.task])
        )
        return {
            **{
                name: partial(self.prepared, name)
                for task in self.tasks.values()
                for name in task.preparation
            },
            "reporting": lambda: WithReporting(Pipeline([]), self.ranked),
            **{name: partial(self.at_stage, name) for name in stages},
            **{name: partial(stage_pipeline, name) for name in STANDALONE},
            "gaps": lambda: union(
                [self.preparation["ingestion"].to_outputs("fields"), stage_pipeline("gaps")]
            ),
        }

    def selections(self, listed: Mapping[str, Selection]) -> dict[str, Callable[[], Pipeline]]:
        """Functions that make the whole pipeline of each task, of each experiment, of those listed, of everything."""
        groups = {name: [each for each in self.selected if each.task == name] for name in self.by_task}
        groups |= {address: [each] for address, each in self.listed.items()}
        groups |= {name: selection.experiments for name, selection in listed.items() if selection.experiments}
        groups["__default__"] = self.selected
        return {name: partial(self.with_requirements, group) for name, group in groups.items()}

    def prepared(self, name: str) -> Pipeline:
        """One stage that runs once for all experiments."""
        return self.preparation[name]

    def of_experiment(self, experiment: Experiment, names: Sequence[str]) -> Pipeline:
        """Some stages of one experiment."""
        key = experiment.address, *names
        if key not in self._experiments:
            task = self.tasks[experiment.task]
            self._experiments[key] = experiment_pipeline(experiment, task, self.shared, names)
        return self._experiments[key]

    def at_stage(self, name: str) -> Pipeline:
        """One stage of all experiments that have it."""
        having = (each for each in self.selected if name in own_stages(each, self.tasks[each.task]))
        return union(self.of_experiment(each, [name]) for each in having)

    def with_requirements(self, selected: Iterable[Experiment]) -> Pipeline:
        """Everything that experiments need, from the data to the report."""
        needed = {need.address: need for each in selected for need in requirements(each, self.listed)}
        before = {name for need in needed.values() for name in self.tasks[need.task].preparation}
        of_experiments = [
            self.of_experiment(need, own_stages(need, self.tasks[need.task])) for need in needed.values()
        ]
        return WithReporting(
            union([*(self.preparation[name] for name in before), *of_experiments]), self.ranked
        )


def check_experiment(experiment: Experiment, tasks: Mapping[str, "Task"]) -> None:
    """Raise InputError for an experiment of an unknown task, or of type File where the task takes no files."""
    if experiment.task not in tasks:
        raise InputError(
            f"{experiment.address}: '{experiment.task}' is not a task; choose from {', '.join(tasks)}."
        )
    if experiment.file and not tasks[experiment.task].score_file:
        takers = " and ".join(name for name, task in tasks.items() if task.score_file)
        raise InputError(f"{experiment.address}: only experiments of {takers} can be of type File.")


def left_out(listed: Mapping[str, Experiment]) -> dict[str, Needs]:
    """Experiments that need other data than the configured source provides, by address, with what they lack.

    An experiment also needs what the experiments need whose checkpoints it uses. Empty outside of a session, which has
    no source.
    """
    source = source_of_data()
    if source is None:
        return {}
    needs = {
        address: [need for used in requirements(each, listed) if (need := used.about.needs)]
        for address, each in listed.items()
    }
    lacking = {
        address: [need for need in every if need not in provided(source)] for address, every in needs.items()
    }
    return {address: missing[0] for address, missing in lacking.items() if missing}


def source_of_data() -> str | None:
    """The option `ingestion.source` of the active session; None without one, or where it is not a name."""
    context = CONTEXT.get()
    if context is None:
        return None
    try:
        ingestion = context.config_loader["parameters"].get("ingestion")
    except MissingConfigException:  # no file of parameters
        return None
    source = ingestion.get("source") if isinstance(ingestion, Mapping) else None
    return source if isinstance(source, str) else None


def stages() -> list[str]:
    """Names of the stages of all tasks, in the order in which they run."""
    from fieldcast.tasks import TASKS

    names = [*(task.preparation for task in TASKS.values()), *(task.stages for task in TASKS.values())]
    return list(dict.fromkeys(name for group in names for name in group))


def configuration() -> Path:
    """The folder of configuration: of the active session, else of the surrounding project."""
    context = CONTEXT.get()
    if context is None:
        return configuration_folder()
    conf = Path(context.config_loader.conf_source)
    require_configuration(conf)
    return conf
