"""The pipelines by name: stages, tasks, experiments, `demo`, and those that stand alone, as `fill`.

A stage is a pipeline, an experiment is a namespace `<task>.<name>`, found by listing the configuration; nothing is
edited here to add one. Names of data sets with dots are private to an experiment, all others are shared.
"""

import importlib
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from contextvars import ContextVar
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kedro.framework.context import KedroContext
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from fieldcast import plugins
from fieldcast.errors import InputError
from fieldcast.experiments import Experiment, demo, experiments, requirements
from fieldcast.frame.conf_source import configuration_folder, require_configuration
from fieldcast.pipelines.names import handed_on

if TYPE_CHECKING:
    from fieldcast.pipelines.reporting.pipeline import Ranked
    from fieldcast.tasks import Task

# on a user's file, with what has been trained; on finished runs
STANDALONE = ("fill", "stations", "predict", "cycle", "seeds")
TRAINING = ("training", "calibration")  # stages that make an experiment's own checkpoint
PRIVATE = ("model", "fit", "options")  # parameters of an experiment; all others are shared

# Kedro means names with dots by mistake; here they are checkpoints that an experiment of another task uses
warnings.filterwarnings("ignore", "One or more dataset names contain '.' characters", UserWarning)

CONTEXT: ContextVar[KedroContext | None] = ContextVar("CONTEXT", default=None)  # of the session in force
CATALOG: ContextVar[CatalogProtocol | None] = ContextVar("CATALOG", default=None)  # of the last run


def register_pipelines() -> Mapping[str, Pipeline]:
    """Every pipeline by name."""
    from fieldcast.tasks import TASKS  # here: it imports the tasks of plug-ins

    conf = configuration()
    listed = experiments(conf, *plugins.configurations())
    for experiment in listed.values():
        check_experiment(experiment, TASKS)
    registry = Registry(TASKS, listed)
    return Pipelines(registry.makers() | registry.selections(demo(conf, listed)))


class Registry:
    """Pipelines of the stages of all tasks, and of experiments.

    Parameters
    ----------
    tasks
        Tasks by name.
    listed
        Experiments by address.
    """

    def __init__(self, tasks: Mapping[str, "Task"], listed: Mapping[str, Experiment]) -> None:
        self.tasks, self.listed = tasks, listed
        self.by_task = {
            name: group
            for name in tasks
            if (group := [each for each in listed.values() if each.task == name])
        }
        self.ranked = [(tasks[name], group) for name, group in self.by_task.items()]
        self._lives: dict[str, dict[str, Pipeline]] = {}

    @cached_property
    def preparation(self) -> dict[str, Pipeline]:
        """Stages that run once for all experiments, by name."""
        from fieldcast.pipelines.steps import boxed  # here: half a second, where no pipeline is built

        names = dict.fromkeys(name for task in self.tasks.values() for name in task.preparation)
        return {name: Pipeline(boxed(stage(name).create_pipeline(), name), tags=name) for name in names}

    @cached_property
    def shared(self) -> set[str]:
        """Data sets that these stages make."""
        outputs = (output for pipeline in self.preparation.values() for output in pipeline.all_outputs())
        return {_base(output) for output in outputs}

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
            "reporting": lambda: Reported(Pipeline([]), self.ranked),
            **{name: partial(self.at_stage, name) for name in stages},
            **{name: partial(alone, name) for name in STANDALONE},
            "gaps": lambda: together([self.preparation["ingestion"].to_outputs("fields"), alone("gaps")]),
        }

    def selections(self, experiments_of_demo: Collection[Experiment]) -> dict[str, Callable[[], Pipeline]]:
        """Functions that make the whole pipeline of each task, of each experiment, of the demo, and of everything."""
        groups = {**self.by_task, **{address: [each] for address, each in self.listed.items()}}
        if experiments_of_demo:
            groups["demo"] = list(experiments_of_demo)
        groups["__default__"] = list(self.listed.values())
        return {name: partial(self.whole, group) for name, group in groups.items()}

    def prepared(self, name: str) -> Pipeline:
        """One stage that runs once for all experiments."""
        return self.preparation[name]

    def life_of(self, address: str) -> dict[str, Pipeline]:
        """The stages of one experiment by name."""
        if address not in self._lives:
            experiment = self.listed[address]
            self._lives[address] = life(experiment, self.tasks[experiment.task], self.shared)
        return self._lives[address]

    def at_stage(self, name: str) -> Pipeline:
        """One stage of all experiments that have it."""
        having = (
            address
            for address, each in self.listed.items()
            if name in own_stages(each, self.tasks[each.task])
        )
        return together(self.life_of(address)[name] for address in having)

    def whole(self, selected: Iterable[Experiment]) -> Pipeline:
        """Everything that experiments need, from the data to the report."""
        needed = {need.address: need for each in selected for need in requirements(each, self.listed)}
        before = {name for need in needed.values() for name in self.tasks[need.task].preparation}
        stages = [part for address in needed for part in self.life_of(address).values()]
        return Reported(together([*(self.preparation[name] for name in before), *stages]), self.ranked)


class Later:
    """A pipeline that is made when something of it is asked for."""

    def __init__(self, make: Callable[[], Pipeline]) -> None:
        self._make = make

    @cached_property
    def pipeline(self) -> Pipeline:
        """The pipeline itself."""
        return self._make()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pipeline, name)


class Pipelines(dict[str, Any]):
    """Pipelines by name, each made when it is first asked for: a run needs one of a hundred.

    A `dict`, which Kedro copies to list the names, as Python copies any other mapping by asking for each value.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Pipeline]]) -> None:
        super().__init__({name: Later(make) for name, make in makers.items()})

    def __getitem__(self, name: str) -> Pipeline:
        pipeline: Pipeline = super().__getitem__(name).pipeline
        return pipeline


class Reported(Pipeline):
    """Stages, and a reporting that waits for the results of the experiments among them.

    All others it reads from the disk, so the graph of an experiment shows no node of any other. The sum with
    another pipeline has one reporting, too: `kedro run --pipelines a,b` adds pipelines that each bring theirs.
    """

    def __init__(self, stages: Pipeline, ranked: "Ranked") -> None:
        self.stages, self.ranked = stages, ranked
        reporting = stage("reporting").create_pipeline(ranked, stages.all_outputs())
        super().__init__([stages, Pipeline(reporting, tags="reporting")])

    def __add__(self, other: Any) -> Pipeline:
        others = other.stages if isinstance(other, Reported) else other
        return Reported(together([self.stages, others]), self.ranked)

    __radd__ = __add__

    def filter(self, *selection: Any, **further: Any) -> Pipeline:
        """Select nodes, with those that gather again what they read and no run has stored."""
        nodes = {node.name for node in super().filter(*selection, **further).nodes}
        makers = {output: node for node in self.nodes for output in node.outputs if handed_on(output)}
        for node in reversed(self.nodes):
            if node.name in nodes:
                nodes |= {makers[source].name for source in node.inputs if source in makers}
        return self.only_nodes(*nodes)


def stages() -> list[str]:
    """Names of the stages of all tasks, in the order in which they run."""
    from fieldcast.tasks import TASKS

    names = [*(task.preparation for task in TASKS.values()), *(task.stages for task in TASKS.values())]
    return list(dict.fromkeys(name for group in names for name in group))


def together(parts: Iterable[Pipeline]) -> Pipeline:
    """The union of pipelines: a node that several of them hold is there once."""
    return Pipeline({node for part in parts for node in part.nodes})


def configuration() -> Path:
    """The folder of configuration: of the session in force, or of the project around here."""
    context = CONTEXT.get()
    if context is None:
        return configuration_folder()
    conf = Path(context.config_loader.conf_source)
    require_configuration(conf)
    return conf


def stage(name: str) -> ModuleType:
    """The module of a stage, of Fieldcast or of a task plug-in, whose `create_pipeline` makes its pipeline."""
    for package in ("fieldcast", *plugins.packages()):
        module = f"{package}.pipelines.{name}.pipeline"
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not module.startswith(str(error.name)):
                raise  # the stage is there, and imports something that is not
    raise InputError(f"a task has a stage '{name}', but no package has a module pipelines.{name}.pipeline.")


def alone(name: str) -> Pipeline:
    """The pipeline of a stage that runs by itself."""
    pipeline: Pipeline = stage(name).create_pipeline()
    return pipeline


def check_experiment(experiment: Experiment, tasks: Mapping[str, "Task"]) -> None:
    """Raise InputError for an experiment of an unknown task, or of type File where the task takes no files."""
    if experiment.task not in tasks:
        raise InputError(
            f"{experiment.address}: '{experiment.task}' is not a task; choose from {', '.join(tasks)}."
        )
    if experiment.file and not tasks[experiment.task].score_file:
        takers = " and ".join(name for name, task in tasks.items() if task.score_file)
        raise InputError(f"{experiment.address}: only experiments of {takers} can be of type File.")


def own_stages(experiment: Experiment, task: "Task") -> list[str]:
    """Names of the stages of an experiment; one with the weights of another is not trained."""
    return [name for name in task.stages if name not in TRAINING or experiment.trains]


def life(experiment: Experiment, task: "Task", shared: set[str]) -> dict[str, Pipeline]:
    """The stages of one experiment by name; each node has stage, task and family as tags."""
    from fieldcast.pipelines.steps import boxed

    names = own_stages(experiment, task)
    parts = {name: stage(name).create_pipeline(task, experiment) for name in names}
    parts[names[-1]] += stage("evaluation").publish(parts.values(), task.results)
    tags = {task.name} | ({experiment.about.family} if experiment.about.family else set())
    return {
        name: in_namespace(boxed(part, name), experiment, shared, {name, *tags})
        for name, part in parts.items()
    }


def in_namespace(
    pipeline: Pipeline, experiment: Experiment, shared: set[str], tags: Collection[str] = ()
) -> Pipeline:
    """A stage of an experiment: private names dotted, shared ones as they are.

    A data set that has the name of a role is the checkpoint that the experiment uses in it; what is drawn from is
    `checkpoint`.
    """
    used = {role: f"{address}.checkpoint" for role, address in experiment.uses.items()}
    if not experiment.trains:
        used["checkpoint"] = f"{experiment.draws_from}.checkpoint"
    renamed = {**{name: name for name in shared}, **used}
    inputs = {
        name: renamed[_base(name)] + name[len(_base(name)) :]
        for name in pipeline.inputs()
        if _base(name) in renamed
    }
    parameters = {
        name for name in pipeline.inputs() if name.startswith("params:") and _root(name) not in PRIVATE
    }
    return Pipeline(
        pipeline, namespace=experiment.address, inputs=inputs, parameters=parameters, tags=set(tags)
    )


def _base(name: str) -> str:
    return name.partition("@")[0]


def _root(parameter: str) -> str:
    return parameter.removeprefix("params:").partition(".")[0]
