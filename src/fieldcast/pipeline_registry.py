"""The pipelines by name: stages, tasks, experiments, `demo`, and those that stand alone, as `fill`.

A stage is a pipeline, an experiment is a namespace `<task>.<name>`, found by listing the configuration; nothing is
edited here to add one. Names of data sets with dots are private to an experiment, all others are shared.
"""

import importlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, partial
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
from fieldcast.pipelines.steps import boxed

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
    from fieldcast.tasks import TASKS  # the seconds that torch takes, which not every command needs

    conf = configuration()
    listed = experiments(conf, *plugins.configurations())
    for experiment in listed.values():
        check_experiment(experiment, TASKS)
    preparation = {
        name: Pipeline(boxed(stage(name).create_pipeline(), name), tags=name)
        for task in TASKS.values()
        for name in task.preparation
    }
    shared = {_base(output) for pipeline in preparation.values() for output in pipeline.all_outputs()}
    stages_of = {address: own_stages(each, TASKS[each.task]) for address, each in listed.items()}
    by_task = {
        name: group for name in TASKS if (group := [each for each in listed.values() if each.task == name])
    }
    ranked = [(TASKS[name], group) for name, group in by_task.items()]

    @cache
    def life_of(address: str) -> dict[str, Pipeline]:
        return life(listed[address], TASKS[listed[address].task], shared)

    def at_stage(name: str) -> Pipeline:
        """One stage of all experiments."""
        return together(life_of(address)[name] for address, stages in stages_of.items() if name in stages)

    def whole(selected: Iterable[Experiment]) -> Pipeline:
        """Everything that experiments need, from the data to the report."""
        needed = {need.address: need for experiment in selected for need in requirements(experiment, listed)}
        before = {name for need in needed.values() for name in TASKS[need.task].preparation}
        stages = [part for address in needed for part in life_of(address).values()]
        return Reported(together([*(preparation[name] for name in before), *stages]), ranked)

    makers: dict[str, Callable[[], Pipeline]] = {
        name: partial(preparation.__getitem__, name) for name in preparation
    }
    makers["reporting"] = lambda: Reported(Pipeline([]), ranked)
    makers |= {name: partial(at_stage, name) for stages in stages_of.values() for name in stages}
    makers |= {name: partial(whole, group) for name, group in by_task.items()}
    makers |= {address: partial(whole, [experiment]) for address, experiment in listed.items()}
    makers |= {name: stage(name).create_pipeline for name in STANDALONE}
    makers["gaps"] = lambda: together(
        [preparation["ingestion"].to_outputs("fields"), stage("gaps").create_pipeline()]
    )
    if experiments_of_demo := demo(conf, listed):
        makers["demo"] = partial(whole, experiments_of_demo)
    return Pipelines(makers | {"__default__": partial(whole, listed.values())})


class Pipelines(Mapping[str, Pipeline]):
    """Pipelines by name, each made when it is first asked for: a run needs one of a hundred."""

    def __init__(self, makers: Mapping[str, Callable[[], Pipeline]]) -> None:
        self._makers = {name: cache(make) for name, make in makers.items()}

    def __getitem__(self, name: str) -> Pipeline:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


class Reported(Pipeline):
    """Stages, and a reporting that waits for the results of the experiments among them.

    All others it reads from the disk, so the graph of an experiment shows that experiment alone. The sum with
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
    names = own_stages(experiment, task)
    parts = {name: stage(name).create_pipeline(task, experiment) for name in names}
    parts[names[-1]] += stage("evaluation").publish(parts.values(), task.results)
    tags = {task.name} | ({experiment.about.family} if experiment.about.family else set())
    return {
        name: Pipeline(in_namespace(boxed(part, name), experiment, shared), tags={name, *tags})
        for name, part in parts.items()
    }


def in_namespace(pipeline: Pipeline, experiment: Experiment, shared: set[str]) -> Pipeline:
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
    return Pipeline(pipeline, namespace=experiment.address, inputs=inputs, parameters=parameters)


def _base(name: str) -> str:
    return name.partition("@")[0]


def _root(parameter: str) -> str:
    return parameter.removeprefix("params:").partition(".")[0]
