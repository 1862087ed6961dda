"""Tasks, each one record, over which all stages loop, and one module.

================  =======================================================
`task`            `Task`, `Step` and `Serving`: the description of a task for stages
`records`         the four tasks
`reconstruct`     fields from sparse observations
`forecast`        the states that follow
`assimilate`      a cycle of forecasts and observations
`sample`          states drawn from nothing
`scoring_inputs`  what scoring requires of fields and draws; stored examples minus the climatology, for maps
================  =======================================================
"""

from fieldcast.tasks.records import ASSIMILATE, FORECAST, RECONSTRUCT, SAMPLE
from fieldcast.tasks.task import Serving, Step, Task

__all__ = ["TASKS", "Serving", "Step", "Task"]

TASKS: dict[str, Task] = {task.name: task for task in (RECONSTRUCT, FORECAST, ASSIMILATE, SAMPLE)}
