"""The command line finds the command that is meant."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from fieldcast import cli
from fieldcast.errors import InputError


def test_options_without_a_command_go_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kedro starts a packaged project so."""
    monkeypatch.setattr(cli.run, "callback", lambda **options: print(options["pipelines"], options["env"]))  # noqa: T201
    for phrases in (["run", "--pipelines", "a", "--env", "test"], ["--pipelines", "a", "-e", "test"]):
        assert CliRunner().invoke(cli.cli, phrases).output == "['a'] test\n"
    words = ["--tags", "--tags=a", "-t", "-ta", "--nodes", "--env", "-e", "-etest", "tags", "-1", ""]
    assert [word for word in words if cli.selects(word)] == words[:5]
    assert "predict" in CliRunner().invoke(cli.cli, ["--help"]).output
    assert CliRunner().invoke(cli.cli, ["--version"]).output.startswith("fieldcast, version ")


def test_a_file_of_options_may_select(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cli.run, "callback", lambda **options: print(options["pipelines"]))  # noqa: T201
    file = tmp_path / "run.yml"
    file.write_text("run: {pipelines: a}")
    assert CliRunner().invoke(cli.cli, ["--config", str(file)]).output == "['a']\n"


@pytest.mark.parametrize("words", [["--env", "test"], ["-e", "test"], ["--params", "seed=1"]])
def test_options_that_select_nothing_run_nothing(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setattr(cli.run, "callback", lambda **options: pytest.fail("everything would run"))
    outcome = CliRunner().invoke(cli.cli, words)
    assert isinstance(outcome.exception, InputError)
    assert str(outcome.exception).startswith(f"there is no command before {words[0]}: write one")
    assert "Commands:" in CliRunner().invoke(cli.cli, []).output
