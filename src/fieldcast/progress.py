"""Progress of long loops: a bar with the time left in a terminal, and numbers that a log can quote elsewhere."""

import sys
import threading
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

_open: list["Progress"] = []  # innermost last
_relayed: dict[int, str] = {}  # states of other processes, by the thread that listens to them


class Progress(tqdm):
    """A bar of tqdm that is drawn in terminals only, and counts wherever it runs."""

    may_draw = True  # whether this process may draw bars

    def __init__(self, iterable: Iterable[Any] | None = None, **options: Any) -> None:
        file = sys.stderr if self.may_draw and sys.stderr.isatty() else _NullFile()
        self.counted = 0.0  # seconds from the beginning to the last count
        super().__init__(iterable, leave=False, file=file, **options)
        _open.append(self)

    def update(self, n: float | None = 1) -> bool | None:
        """Count steps that are done."""
        self.counted = self.format_dict["elapsed"]
        return super().update(n)

    def close(self) -> None:
        """End the bar."""
        _open[:] = [bar for bar in _open if bar is not self]  # tqdm's bars are equal if their lines are
        super().close()


class _NullFile:
    """A file that discards what is written to it."""

    def write(self, text: str) -> int:
        """Discard the text."""
        return len(text)

    def flush(self) -> None:
        """Do nothing."""


def drawn() -> bool:
    """Whether a bar is visible in a terminal."""
    return bool(_open) and Progress.may_draw and sys.stderr.isatty()


def state() -> str:
    """Describe how far the loops are, outermost first, as `30 of 100 steps, about 2 min left`; empty if none runs."""
    return "; ".join(state_of(bar) for bar in list(_open))  # another thread may close them


def state_of(progress: Progress) -> str:
    """Describe how far one loop is.

    The time left runs down between two counts, to the end of a step that takes longer than those before it.
    """
    bar = progress.format_dict
    done, total, first = bar["n"], bar["total"], bar["initial"]
    text = f"{done} of {total} {bar['unit']}s" if total else f"{done} {bar['unit']}s"
    if total and done > first:
        step = progress.counted / (done - first)
        remaining = (total - done) * step - (bar["elapsed"] - progress.counted)
        text += f", about {duration(max(remaining, (total - done - 1) * step))} left"
    return text


def relay(state: str) -> None:
    """Note the state of the process to which this thread listens; empty if no loop runs there."""
    _relayed[threading.get_ident()] = state


def relayed(thread: int) -> str:
    """The last state of the process to which a thread listens; empty if it listens to none."""
    return _relayed.get(thread, "")


def duration(seconds: float) -> str:
    """A time to the second below a minute, and to about a tenth above: `45 s`, `6 min`, `1 h 20 min`."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 570:
        half_minutes = round(seconds / 30)
        return f"{half_minutes // 2} min" + (" 30 s" if half_minutes % 2 else "")
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
