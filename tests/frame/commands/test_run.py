"""`run` refuses before its first node what it cannot do."""

import copy
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from kedro.pipeline import Pipeline, node

from fieldcast import cli
from fieldcast.errors import InputError
from fieldcast.frame.commands.run import explain_tags, with_old_spelling, with_runners
from fieldcast.frame.preflight import check_tags


@pytest.mark.parametrize("words", [["--async"], ["--runner-params", "is_async=true"]])
def test_async_is_refused_before_the_first_node(words: list[str]) -> None:
    outcome = CliRunner().invoke(cli.cli, ["run", *words])
    assert isinstance(outcome.exception, InputError) and "--async is not supported" in str(outcome.exception)


@pytest.mark.parametrize("runner", ["Foo", "package.module.Runner", "kedro.runner.Foo"])
def test_an_unknown_runner_is_refused_with_the_names_of_all(runner: str) -> None:
    message = rf"there is no runner '{runner}'; there are CheapFirst, .*SideBySide, .*Parallel"
    with pytest.raises(InputError, match=message):
        with_runners(lambda **options: options)(runner=runner)
    for name in ("SideBySide", "ThreadRunner", "kedro.runner.SequentialRunner"):
        assert with_runners(lambda **options: options)(runner=name)["runner"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_wrkers": 2}, "SideBySide has no such option; did you mean max_workers?"),
        ({"max_workers": "two"}, "max_workers=two: give a whole number above 0"),
        ({"max_workers": 0}, "max_workers=0: give"),
        ({"max_workers": True}, "max_workers=True: give"),
    ],
)
def test_an_option_that_the_runner_does_not_take_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        with_runners(lambda **options: options)(runner="SideBySide", runner_params=options)


def test_each_use_of_a_list_counts() -> None:
    given: dict[str, object] = {}
    command = copy.copy(cli.run)
    command.callback = lambda **options: given.update(options)
    words = ["--params", "a=1,b=2", "--params", "b=3", "--tags", "x", "-t", "y", "--pipelines", "p"]
    outcome = CliRunner().invoke(command, words, catch_exceptions=False)
    assert outcome.exit_code == 0 and given["params"] == {"a": 1, "b": 3}
    assert tuple(given["tags"]) == ("x", "y") and given["pipelines"] == ["p"] and not given["node_names"]


@pytest.mark.parametrize("empty", [[""], [" , "], ["", ""]])
@pytest.mark.parametrize("option", ["--pipelines", "--pipeline", "--nodes", "--tags", "--params", "-ns"])
def test_an_empty_list_is_no_choice_of_everything(option: str, empty: list[str]) -> None:
    command = copy.copy(cli.run)
    command.callback = lambda **options: pytest.fail("everything would run")
    outcome = CliRunner().invoke(command, [word for value in empty for word in (option, value)])
    name = {"-ns": "--namespaces"}.get(option, option)
    assert str(outcome.exception) == f"{name} is empty: name one, or leave the option out."


def test_the_old_spelling_of_pipelines_is_taken_in_silence() -> None:
    given: dict[str, object] = {}
    command = copy.copy(cli.run)
    command.callback = with_old_spelling(lambda **options: given.update(options))
    CliRunner().invoke(command, ["--pipeline", "a, b,", "--pipeline", "c"], catch_exceptions=False)
    assert given["pipelines"] == ["a", "b", "c"] and given["pipeline"] is None


def test_a_tag_that_no_node_has_is_refused_with_those_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    tagged = Pipeline([node(lambda: 1, None, "a", name="make", tags=["cheap", "slow"])])
    monkeypatch.setattr("fieldcast.frame.preflight.pipelines", {"__default__": tagged})
    run = explain_tags(tagged.filter)
    with pytest.raises(InputError, match=r"^--tags chep: no node has this tag; the tags are cheap, slow\.$"):
        run(tags=["chep"])
    assert run(tags=["slow"]).nodes
    with pytest.raises(
        InputError, match=r"^--tags chep: no node has this tag"
    ):  # which Kedro ignores beside another
        check_tags(["slow", "chep"])


def test_lists_may_stand_in_a_file(tmp_path: Path) -> None:
    given: dict[str, object] = {}
    command = copy.copy(cli.run)
    command.callback = lambda **options: given.update(options)
    file = tmp_path / "run.yml"
    file.write_text("run: {params: {a: 1}, tags: 'x,y'}")
    outcome = CliRunner().invoke(command, ["--config", str(file)], catch_exceptions=False)
    assert outcome.exit_code == 0 and given["params"] == {"a": 1} and tuple(given["tags"]) == ("x", "y")
