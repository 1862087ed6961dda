"""Tables: several runs, each of another seed, as mean and standard deviation."""

import pandas as pd

from fieldcast.inference.multi_seed import refuse_other_runs
from fieldcast.inference.options import Tables
from fieldcast.scores.multi_seed import leaderboards, over_seeds
from fieldcast.tasks import TASKS


def tables(tables: Tables) -> dict[str, pd.DataFrame | str]:
    """A table over seeds for each task, empty where no run has the task, and their summary."""
    folders = tables.folders()
    runs = [leaderboards(folder, TASKS) for folder in folders]
    experiments = [
        {f"{task}/{name}" for task, table in run.items() for name in table["experiment"]} for run in runs
    ]
    seeds = {task: over_seeds([run[task] for run in runs if task in run]) for task in TASKS}
    refuse_other_runs(dict(zip(folders, experiments, strict=True)))
    summaries = [TASKS[task].summary(table) for task, table in seeds.items() if len(table)]
    return {**seeds, "summary": "\n\n".join(summaries)}
