"""SIGTERM, which batch systems send before they kill, ends the process as an exception does."""

import signal
import threading
from types import FrameType


def exit_on_sigterm() -> None:
    """Have SIGTERM raise SystemExit in the main thread, so that clean-up runs, unless a handler is set."""
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, _exit)


def default_on_sigterm() -> None:
    """Have SIGTERM kill the process again, if `exit_on_sigterm` has changed that."""
    if signal.getsignal(signal.SIGTERM) is _exit:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
