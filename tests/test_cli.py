"""The command line finds the command that is meant."""

import pytest
from click.testing import CliRunner

from fieldcast import cli


def test_options_without_a_command_go_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kedro starts a packaged project so."""
    monkeypatch.setattr(cli.run, "callback", lambda **options: print(options["pipelines"], options["env"]))  # noqa: T201
    for phrases in (["run", "--pipelines", "a", "--env", "test"], ["--pipelines", "a", "-e", "test"]):
        assert CliRunner().invoke(cli.cli, phrases).output == "['a'] test\n"
    assert "predict" in CliRunner().invoke(cli.cli, ["--help"]).output
