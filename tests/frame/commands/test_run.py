"""`run` refuses before its first node what it cannot do."""

import pytest
from click.testing import CliRunner

from fieldcast import cli
from fieldcast.errors import InputError
from fieldcast.frame.commands.run import with_runners


@pytest.mark.parametrize("words", [["--async"], ["--runner-params", "is_async=true"]])
def test_async_is_refused_before_the_first_node(words: list[str]) -> None:
    outcome = CliRunner().invoke(cli.cli, ["run", *words])
    assert isinstance(outcome.exception, InputError) and "--async is not supported" in str(outcome.exception)


def test_an_unknown_runner_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(
        InputError, match=r"there is no runner 'Foo'; there are CheapFirst, .*SideBySide, .*Parallel"
    ):
        with_runners(lambda **options: options)(runner="Foo")
    for name in ("SideBySide", "ThreadRunner", "package.module.Runner"):
        assert with_runners(lambda **options: options)(runner=name)["runner"]
