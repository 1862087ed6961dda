"""The table of the reports' elements names experiments and figures that exist."""

import re
from pathlib import Path

import pytest

from fieldcast.experiments import experiments

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/systems.md").read_text()
SYSTEMS = {
    int(number): cells
    for number, *cells in (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in re.findall(r"^\| \d+ \|.*$", PAGE, re.M)
    )
}
# names of figures in the report's code; what follows in a file's name is an experiment, a variable or a case
NAMES = re.findall(
    r'"((?:masks|maps|error_over_time|losses|steps|stability|scores_against_lead|decoded|embeddings|priors|samples'
    r'|distances|denoising|latent_grid|comparison))"',
    "\n".join(file.read_text() for file in (ROOT / "src/fieldcast/report").glob("*.py")),
)


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_system_has_a_row() -> None:
    assert sorted(SYSTEMS) == list(range(1, 22))
    assert all(len(cells) == 5 and all(cells) for cells in SYSTEMS.values())


@pytest.mark.parametrize("number", range(1, 22))
def test_experiments_and_figures_exist(number: int) -> None:
    comparison, _, cell, figures, _ = SYSTEMS[number]
    assert set(comparison.split(", ")) <= {"000", "001", "002", "003", "004", "all"}
    there = experiments(ROOT / "conf")
    for name in named(cell):
        if name.endswith(".ipynb"):
            assert (ROOT / name).exists()
        elif re.match(r"(reconstruct|forecast|sample)\.", name):
            assert name in there, name
    for figure in named(figures):
        assert any(figure == name or figure.startswith(f"{name}_") for name in NAMES), figure


def test_figures_of_an_experiment_are_of_one_that_is_named() -> None:
    for _, _, cell, figures, _ in SYSTEMS.values():
        for figure in named(figures):
            if match := re.match(r"(?:steps|denoising|latent_grid)_(\w+?)(?:_z500)?$", figure):
                assert match[1] in cell, figure
