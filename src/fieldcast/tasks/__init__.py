"""Tasks, each one module and one record, over which all stages loop.

=============  =======================================================
`task`         `Task` and `Step`: what a stage needs to know of a task
`reconstruct`  fields from sparse observations
`forecast`     the states that follow
`assimilate`   a cycle of forecasts and observations
`sample`       states drawn from nothing
`truth`        what scoring asks of the fields and of the checkpoint
=============  =======================================================
"""

from fieldcast import plugins
from fieldcast.tasks.assimilate import ASSIMILATE
from fieldcast.tasks.forecast import FORECAST
from fieldcast.tasks.reconstruct import RECONSTRUCT
from fieldcast.tasks.sample import SAMPLE
from fieldcast.tasks.task import Step, Task

__all__ = ["TASKS", "Step", "Task"]

# those of installed packages come last
PLUGINS = [plugins.load("fieldcast.tasks", name) for name in plugins.advertised("fieldcast.tasks")]
TASKS: dict[str, Task] = {task.name: task for task in (RECONSTRUCT, FORECAST, ASSIMILATE, SAMPLE, *PLUGINS)}
