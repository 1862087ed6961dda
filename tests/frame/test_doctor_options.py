"""`fieldcast doctor` compares stored data with the options it is given, as a run with them would."""

from pathlib import Path
from typing import Any

import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from fieldcast.frame.doctor import Examination, examine

ROOT = Path(__file__).parents[2]


def examined(data_root: Path, **params: Any) -> Examination:
    bootstrap_project(ROOT)
    given = {"data_root": str(data_root), **params}
    with KedroSession.create(ROOT, env="test", runtime_params=given) as session:
        return examine(session.load_context().catalog, str(data_root))


def test_the_options_of_the_run_are_no_fault(forecasted: Path) -> None:
    blown_up = {"forecast": {"decoder_l1_rk4": {"model": {"scale": 1e30}}}}
    examination = examined(forecasted, **blown_up)
    assert examination.stored > 10 and not examination.faults, str(examination)


@pytest.mark.parametrize(
    ("params", "dataset", "complaint", "command"),
    [
        (
            {"reconstruct": {"corrected_interpolation": {"fit": {"learning_rate": 0.123}}}},
            "reconstruct.corrected_interpolation.checkpoint",
            "it was made with fit.learning_rate 0.001, this configuration has 0.123.",
            "--pipelines training --namespaces reconstruct.corrected_interpolation",
        ),
        (
            {"reconstruct": {"linear": {"model": {"neighbours": 7}}}},
            "reconstruct.linear.checkpoint",
            "this configuration has 7.",
            "--pipelines training --namespaces reconstruct.linear",
        ),
        (
            {"sparsification": {"noise": 0.3}},
            "observations",
            "it was made with sparsification.noise 0.1, this configuration has 0.3.",
            "--pipelines sparsification",
        ),
        (
            {"evaluation": {"members": 2}},
            "reconstruct.kriging.draws",
            "this configuration has 2.",
            "--pipelines reconstruction --namespaces reconstruct.kriging",
        ),
        ({"ingestion": {"seed": 5}}, "fields", "other options of ingestion", "--pipelines ingestion"),
        (
            {"seed": 3},
            "reconstruct.kriging.draws",
            "seed 0, this configuration has 3",
            "--pipelines training",
        ),
    ],
)
def test_another_option_names_what_was_made_with_it(
    finished: Path, params: dict[str, Any], dataset: str, complaint: str, command: str
) -> None:
    examination = examined(finished, **params)
    complaints = {fault.dataset: fault.complaint for fault in examination.faults}
    assert complaint in complaints[dataset], complaints
    assert command in str(examination)


def test_other_starts_are_chosen_again(forecasted: Path) -> None:
    examination = examined(forecasted, rollout={"members": 2})
    complaints = {fault.dataset: fault.complaint for fault in examination.faults}
    assert "members" in complaints["starts"] and "--pipelines initial_times" in str(examination)


def test_a_source_that_is_gone_is_no_fault(finished: Path) -> None:
    """Fields stay valid when the file that they were read from is moved away."""
    gone = {"source": "file", "path": "moved.nc"}
    assert "fields" not in {fault.dataset for fault in examined(finished, ingestion=gone).faults}
