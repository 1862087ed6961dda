"""Commands in messages carry the options of the session."""

import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from fieldcast.app.conf_source import CONTEXT, with_options

GIVEN = {"data_root": "a b", "fit": {"steps": 3, "compile": False}, "fill": {"members": 5}, "seed": 1}
OPTIONS = "--env test --params 'data_root=a b,fit.steps=3,fit.compile=false,seed=1'"


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A session that `kedro` has started."""
    monkeypatch.setattr(sys, "argv", ["/bin/kedro", "run"])
    context = SimpleNamespace(env="test", config_loader=SimpleNamespace(runtime_params=GIVEN))
    token = CONTEXT.set(context)  # type: ignore[arg-type]
    yield
    CONTEXT.reset(token)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("run `kedro run --pipelines fill` first", f"run `kedro run --pipelines fill {OPTIONS}` first"),
        (
            "kedro run --pipelines training --namespaces reconstruct.vae.",
            f"kedro run --pipelines training --namespaces reconstruct.vae {OPTIONS}.",
        ),
        ("`kedro run --pipelines a,b.c`", f"`kedro run --pipelines a,b.c {OPTIONS}`"),
        ("`kedro run --pipelines fill --params seed=2`", "`kedro run --pipelines fill --params seed=2`"),
        ("nothing to run", "nothing to run"),
    ],
)
def test_commands_without_options_get_those_of_the_session(message: str, expected: str) -> None:
    assert with_options(message) == expected


def test_a_session_of_fieldcast_is_continued_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/fieldcast"])
    assert with_options("kedro run --pipelines fill") == f"fieldcast run --pipelines fill {OPTIONS}"


def test_without_a_session_a_command_is_left_as_it_is() -> None:
    CONTEXT.set(None)
    assert with_options("kedro run --pipelines fill") == "kedro run --pipelines fill"
