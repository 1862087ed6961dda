"""The command line finds the command that is meant."""

import pytest
from click.testing import CliRunner

from fieldcast import cli
from fieldcast.errors import InputError


def test_options_without_a_command_go_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kedro starts a packaged project so."""
    monkeypatch.setattr(cli.run, "callback", lambda **options: print(options["pipelines"], options["env"]))  # noqa: T201
    for phrases in (["run", "--pipelines", "a", "--env", "test"], ["--pipelines", "a", "-e", "test"]):
        assert CliRunner().invoke(cli.cli, phrases).output == "['a'] test\n"
    assert "predict" in CliRunner().invoke(cli.cli, ["--help"]).output


@pytest.mark.parametrize("words", [["--env", "test"], ["-e", "test"], ["--params", "seed=1"]])
def test_options_that_select_nothing_run_nothing(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setattr(cli.run, "callback", lambda **options: pytest.fail("everything would run"))
    outcome = CliRunner().invoke(cli.cli, words)
    assert isinstance(outcome.exception, InputError)
    assert str(outcome.exception).startswith(f"there is no command before {words[0]}: write one")
    assert "Commands:" in CliRunner().invoke(cli.cli, []).output
