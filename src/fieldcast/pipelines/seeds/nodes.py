"""Seeds: mean and standard deviation over runs that differ only in their seed."""

import pandas as pd

from fieldcast.inference.options import Seeds
from fieldcast.tasks import TASKS


def gather(seeds: Seeds) -> dict[str, pd.DataFrame | str]:
    """A table over seeds for each task, empty where no run has the task, and their summary."""
    from fieldcast.inference.multi_seed import leaderboards, over_seeds, refuse_other_runs

    folders = seeds.folders()
    runs = [leaderboards(folder, TASKS) for folder in folders]
    experiments = [
        {f"{task}/{name}" for task, table in run.items() for name in table["experiment"]} for run in runs
    ]
    tables = {task: over_seeds([run[task] for run in runs if task in run]) for task in TASKS}
    refuse_other_runs(dict(zip(folders, experiments, strict=True)))
    summaries = [TASKS[task].summary(table) for task, table in tables.items() if len(table)]
    return {**tables, "summary": "\n\n".join(summaries)}
