"""Job arrays of SLURM: a script that submits one experiment per task, between jobs that prepare and report."""

import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence

from fieldcast.errors import InputError
from fieldcast.experiments import Experiment, Selection, experiments, nearest, requirements, selections
from fieldcast.frame.conf_source import configuration_folder

SCRIPT_HEAD = """#!/bin/bash
# {count} experiments as tasks of job arrays; options behind the name of this script go to sbatch:
#   bash {file} --partition=gpu --gres=gpu:1 --time=4:00:00
set -eu
PATH="$PATH:"{programs}  # programs of this installation, behind those of an active environment
submit() {{ sbatch --parsable --job-name=fieldcast "$@"; }}
job=$(submit "$@" --wrap {prepare})
"""
SCRIPT_ARRAY = """job=$(submit --dependency={condition}:$job --array=0-{last} "$@" --wrap {task})
"""
SCRIPT_TAIL = """submit --dependency=afterany:$job "$@" --wrap {report}
"""


def job_script(file: str, names: Sequence[str], options: Sequence[str]) -> str:
    """The script for the experiments of some pipelines.

    Parameters
    ----------
    file
        Name of the script.
    names
        Experiments, tasks, `demo`, or reports.
    options
        Options of every `fieldcast run`.
    """
    from fieldcast.tasks import TASKS

    conf = configuration_folder()
    listed = experiments(conf)
    arrays = levels(selection(names, listed, selections(conf, listed)), listed)
    preparation = dict.fromkeys(
        stage for array in arrays for each in array for stage in TASKS[each.task].preparation
    )
    run = shlex.join(["fieldcast", "run", *options])
    prepare, report = f"{run} --pipelines {','.join(preparation)}", f"{run} --pipelines reporting"
    count = sum(map(len, arrays))
    script = SCRIPT_HEAD.format(
        count=count,
        file=file,
        programs=shlex.quote(os.path.dirname(sys.executable)),
        prepare=shlex.quote(prepare),
    )
    for number, array in enumerate(arrays):
        addresses = " ".join(each.address for each in array)
        # sbatch runs it by /bin/sh, which may have no arrays
        task = f'set -- {addresses}; shift "$SLURM_ARRAY_TASK_ID"; {run} --pipelines "$1" --namespaces "$1"'
        condition = "afterany" if number else "afterok"
        script += SCRIPT_ARRAY.format(condition=condition, last=len(array) - 1, task=shlex.quote(task))
    return script + SCRIPT_TAIL.format(report=shlex.quote(report))


def selection(
    names: Iterable[str], listed: Mapping[str, Experiment], selected: Mapping[str, Selection]
) -> list[Experiment]:
    """The experiments of pipelines by name.

    Raises InputError for a name that is neither an experiment, a task, `demo` nor a report.
    """
    groups = {address: [each] for address, each in listed.items()}
    groups |= {task: [each for each in listed.values() if each.task == task] for task in tasks_of(listed)}
    groups |= {name: selection.experiments for name, selection in selected.items()}
    for name in names:
        if name not in groups:
            raise InputError(f"'{name}' is not an experiment, a task or 'demo'{nearest(name, groups)}")
    return [each for name in names for each in groups[name]]


def tasks_of(listed: Mapping[str, Experiment]) -> list[str]:
    """Names of the tasks that have experiments."""
    return list(dict.fromkeys(each.task for each in listed.values()))


def levels(selected: Iterable[Experiment], listed: Mapping[str, Experiment]) -> list[list[Experiment]]:
    """Experiments and those whose checkpoints they use, in arrays: each uses checkpoints of earlier arrays only."""
    needed = {need.address: need for each in selected for need in requirements(each, listed)}
    level: dict[str, int] = {}
    for address, each in needed.items():  # those that an experiment uses come before it
        level[address] = 1 + max((level[used] for used in each.uses.values()), default=-1)
    count = max(level.values(), default=-1) + 1
    return [[needed[address] for address, n in level.items() if n == number] for number in range(count)]
