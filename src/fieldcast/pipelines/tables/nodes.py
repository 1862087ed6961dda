"""Tables: several runs, each of another seed, as mean and standard deviation."""

import pandas as pd

from fieldcast.inference.multi_seed import refuse_other_runs
from fieldcast.inference.options import Tables
from fieldcast.scores.multi_seed import TASKS, leaderboards, over_seeds
from fieldcast.scores.sample_summary import sample_short_table
from fieldcast.scores.summary import forecast_short_table, short_table

SHORT_TABLES = {"reconstruct": short_table, "forecast": forecast_short_table, "sample": sample_short_table}


def tables(tables: Tables) -> dict[str, pd.DataFrame | str]:
    """A table over seeds for each task, empty where no run has the task, and all of them in their short form."""
    folders = tables.folders()
    runs = [leaderboards(folder) for folder in folders]
    gathered = [{f"{task}/{name}" for task, one in run.items() for name in one["experiment"]} for run in runs]
    found = {task: over_seeds([run[task] for run in runs if task in run]) for task in TASKS}
    refuse_other_runs(dict(zip(folders, gathered, strict=True)))
    short = [SHORT_TABLES[task](table) for task, table in found.items() if len(table)]
    return {**found, "summary": "\n\n".join(short)}
