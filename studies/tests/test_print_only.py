"""`--print-only` of the table scripts prints what the documents hold, and writes nothing."""

import importlib
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
COMMANDS = {
    "experiment_tables planet": ("reconstruct.md", "forecast.md"),
    "experiment_tables sea_level_pressure": ("reconstruct.md", "forecast.md"),
    "experiment_tables winter": ("reconstruct.md",),
    "make_tables 002": ("sample.md",),
    "make_tables reduced": ("sample.md",),
    "autodecoder_trials": ("sample.md",),
    "assimilation_tables": ("assimilate.md",),
    "full_vae planet": ("report_000.md",),
    "full_vae sea_level_pressure": ("report_000.md",),
    "mse_of_000": ("report_000.md",),
    "training_of_000": (),  # its numbers stand in a text
}


def written() -> dict[Path, int]:
    """Time of the last change of each file of the documents."""
    return {file: file.stat().st_mtime_ns for file in DOCS.rglob("*") if file.is_file()}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_tables_of_the_documents_are_printed_and_nothing_is_written(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *arguments = command.split()
    script = importlib.import_module(f"studies.{name}")
    monkeypatch.setattr("sys.argv", [f"{name}.py", *arguments, "--print-only"])
    before = written()
    assert not script.main()
    assert written() == before
    printed = capsys.readouterr().out
    assert len(printed) > 500
    pages = [(DOCS / "results" / page).read_text(encoding="utf-8") for page in COMMANDS[command]]
    lines = {line.rstrip() for page in pages for line in page.splitlines()}
    missing = [line for line in printed.splitlines() if pages and line.rstrip() not in lines]
    assert missing == [], f"`python -m studies.{command} --write-only` writes the tables again"
