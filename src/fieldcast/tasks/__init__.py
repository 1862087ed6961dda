"""Tasks, each one record and one module.

================  =======================================================
`records`         `Task`, the four of them, and how a trained model of one is served
`reconstruct`     fields from sparse observations
`forecast`        the states that follow
`assimilate`      a cycle of forecasts and observations
`sample`          states drawn from nothing
`scoring_inputs`  what scoring requires of fields and draws; stored examples minus the climatology, for maps
================  =======================================================
"""

from fieldcast.tasks.records import TASKS, Serving, Task

__all__ = ["TASKS", "Serving", "Task"]
