"""Job arrays, submitted to a SLURM that is not there: which jobs, in which order, and what each of them runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fieldcast.cli import cli
from fieldcast.errors import InputError
from fieldcast.frame.slurm import job_script

pytestmark = pytest.mark.proof

ROOT = Path(__file__).parents[2]
SBATCH = r"""#!/bin/bash
# runs each task of a job at once, and prints the number of the job
echo "sbatch $*" >> "$LOG"
number=$(grep -c ^sbatch "$LOG")
for argument in "$@"; do
    case $argument in --array=0-*) last=${argument#--array=0-} ;; esac
done
for task in $(seq 0 "${last:-0}"); do
    SLURM_ARRAY_TASK_ID=$task sh -c "${!#}" >> "$LOG"
done
echo "$number"
"""
FIELDCAST = '#!/bin/bash\necho "$SLURM_ARRAY_TASK_ID: $*"\n'


@pytest.fixture
def submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lines of the jobs of two experiments, one of which uses the checkpoint of a third, and of what each job runs."""
    monkeypatch.chdir(ROOT)
    for name, text in (("sbatch", SBATCH), ("fieldcast", FIELDCAST)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    script, log = tmp_path / "jobs.sh", tmp_path / "log"
    names = "reconstruct.linear,reconstruct.denoising_vae_residual_rk4"
    given = [
        "--pipelines",
        names,
        "--env",
        "test",
        "--params",
        "data_root=/a b,seed=1",
        "--output",
        str(script),
    ]
    cli(["slurm", *given], standalone_mode=False)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "LOG": str(log)}
    subprocess.run(["bash", script, "--partition=gpu"], env=environment, capture_output=True, check=True)
    return log.read_text().splitlines()


def test_each_experiment_is_a_task_after_those_that_it_uses(submitted: list[str]) -> None:
    options = "run --env test --params data_root=/a b,seed=1 --pipelines"
    run = [line for line in submitted if not line.startswith("sbatch")]
    arrays = [line.partition(" --namespaces ")[2] for line in run[1:-1]]
    assert run[0] == f"0: {options} ingestion,sparsification" and run[-1] == f"0: {options} reporting"
    assert set(arrays[:2]) == {"reconstruct.linear", "reconstruct.denoising_vae_residual"}
    assert arrays[2:] == ["reconstruct.denoising_vae_residual_rk4"]
    assert [line.split(":")[0] for line in run] == ["0", "0", "1", "0", "0"]
    assert run[1] == f"0: {options} {arrays[0]} --namespaces {arrays[0]}"


def test_jobs_wait_for_one_another_and_take_further_options(submitted: list[str]) -> None:
    jobs = [line for line in submitted if line.startswith("sbatch")]
    waits = [[word for word in job.split() if word.startswith("--dependency=")] for job in jobs]
    assert waits == [[], ["--dependency=afterok:1"], ["--dependency=afterany:2"], ["--dependency=afterany:3"]]
    assert all("--partition=gpu" in job for job in jobs)
    assert "--array=0-1" in jobs[1] and "--array=0-0" in jobs[2]


def test_jobs_find_the_program_of_this_installation() -> None:
    head = job_script("jobs.sh", ["reconstruct.linear"], []).partition("submit()")[0]
    shown = subprocess.run(
        ["/bin/bash", "-c", f"{head}\ntype -p fieldcast"],
        env={"PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.strip() == str(Path(sys.executable).parent / "fieldcast")


def test_a_script_is_written_to_a_folder_that_is_made_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    given = ["slurm", "--pipelines", "reconstruct.linear", "--output"]
    cli([*given, str(tmp_path / "new/jobs.sh")], standalone_mode=False)
    assert (tmp_path / "new/jobs.sh").read_text().startswith("#!")
    with pytest.raises(
        InputError, match=r"jobs.sh/jobs.sh' cannot be written \(.+\): name a file in a folder"
    ):
        cli([*given, str(tmp_path / "new/jobs.sh/jobs.sh")], standalone_mode=False)


def test_a_stage_makes_no_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(InputError, match="'training' is not an experiment, a task or 'demo'"):
        job_script("jobs.sh", ["training"], [])
