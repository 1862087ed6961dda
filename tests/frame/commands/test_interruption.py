"""The exit codes of interrupted commands, whatever exception reaches them."""

import signal
import sys
from collections.abc import Callable

import click
import pytest

from fieldcast.frame.commands.interruption import interruptible


def library(raised: BaseException) -> Callable[[], None]:
    """A command whose library answers an interruption with an error of its own."""

    def command() -> None:
        try:
            raise raised
        finally:
            None.clean_up()  # type: ignore[attr-defined]

    return command


@pytest.mark.parametrize(
    ("raised", "code"),
    [(KeyboardInterrupt(), 130), (SystemExit(128 + signal.SIGTERM), 143)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_an_interruption_ends_a_command_in_a_sentence_even_inside_a_library(
    raised: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(click.exceptions.Exit) as ended:
            interruptible(library(raised))()
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert ended.value.exit_code == code and "fieldcast: stopped; run the same" in capsys.readouterr().err


def test_other_errors_pass() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(AttributeError):
            interruptible(library(ValueError()))()
        with pytest.raises(SystemExit):
            interruptible(lambda: sys.exit(2))()
    finally:
        signal.signal(signal.SIGTERM, handler)
