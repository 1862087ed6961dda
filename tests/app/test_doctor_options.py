"""`fieldcast doctor` compares stored data with the options it is given, as a run with them would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fieldcast.app.doctor import Examination
from fieldcast.fields.options import Ingestion
from fieldcast.lineage import change
from fieldcast.pipelines.ingestion import nodes

pytestmark = pytest.mark.proof

Examined = Callable[..., Examination]


def test_the_options_of_the_run_are_no_fault(examined: Examined, forecasted: Path) -> None:
    blown_up = {"forecast": {"decoder_l1_rk4": {"model": {"scale": 1e30}}}}
    examination = examined(forecasted, **blown_up)
    assert examination.stored > 10 and not examination.faults, str(examination)


@pytest.mark.parametrize(
    ("params", "dataset", "complaint", "command"),
    [
        (
            {"reconstruct": {"corrected_interpolation": {"fit": {"learning_rate": 0.123}}}},
            "reconstruct.corrected_interpolation.checkpoint",
            "it was made with fit.learning_rate 0.001, this run has 0.123.",
            "--pipelines training --namespaces reconstruct.corrected_interpolation",
        ),
        (
            {"reconstruct": {"linear": {"model": {"neighbours": 7}}}},
            "reconstruct.linear.checkpoint",
            "this run has 7.",
            "--pipelines training --namespaces reconstruct.linear",
        ),
        (
            {"sparsification": {"noise": 0.3}},
            "observations",
            "it was made with sparsification.noise 0.1, this run has 0.3.",
            "--pipelines sparsification",
        ),
        (
            {"evaluation": {"members": 2}},
            "reconstruct.kriging.draws",
            "this run has 2.",
            "--pipelines reconstruction --namespaces reconstruct.kriging",
        ),
        (
            {
                "ingestion": {
                    "splits": {
                        "train": ["0001", "0002"],
                        "validation": ["0003", "0003"],
                        "test": ["0004", "0004"],
                    }
                }
            },
            "splits",
            "it was made with train ",
            "--pipelines ingestion",
        ),
        ({"ingestion": {"seed": 5}}, "fields", "options or files of its source", "--pipelines ingestion"),
        (
            {"seed": 3},
            "reconstruct.kriging.draws",
            "seed 0, this run has 3",
            "--pipelines reconstruction",
        ),
    ],
)
def test_another_option_names_what_was_made_with_it(
    examined: Examined, finished: Path, params: dict[str, Any], dataset: str, complaint: str, command: str
) -> None:
    faults = {fault.dataset: fault for fault in examined(finished, **params).faults}
    assert complaint in faults[dataset].complaint and command in faults[dataset].command, faults


def test_other_starts_are_chosen_again(examined: Examined, forecasted: Path) -> None:
    examination = examined(forecasted, rollout={"members": 2})
    complaints = {fault.dataset: fault.complaint for fault in examination.faults}
    assert "members" in complaints["initial_times"] and "--pipelines initial_times" in str(examination)


def test_a_source_that_is_gone_is_no_fault(tmp_path: Path) -> None:
    """Fields stay valid when the file that they were read from is moved away."""
    file = tmp_path / "mine.nc"
    file.write_bytes(b"data")
    ingestion = Ingestion(source="file", path=str(file))
    stored = nodes.fields_made_from(ingestion)
    assert stored and change(stored, nodes.fields_made_from(ingestion)) is None
    file.write_bytes(b"other data")
    assert "with options or files of its source" in (change(stored, nodes.fields_made_from(ingestion)) or "")
    file.unlink()
    assert change(stored, nodes.fields_made_from(ingestion)) is None
