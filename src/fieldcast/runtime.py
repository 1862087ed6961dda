"""Services of the machine to a run: progress on the console, a server of processes, memory."""

from __future__ import annotations

import ctypes
import functools
import os
import pickle
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, get_context, parent_process, resource_tracker
from pathlib import Path
from pkgutil import iter_modules
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from tqdm import tqdm

from fieldcast.errors import InputError

# Progress of long loops: a bar with the time left in a terminal, and numbers that a log can quote elsewhere.


_open: list["Progress"] = []  # innermost last
_seconds: dict[str, float] = {}  # time of each count of the last loop of each unit


class Progress(tqdm):
    """A bar of tqdm that is drawn in terminals only, and counts wherever it runs.

    `work` is the expected work of each step, in any unit, or in seconds if an earlier bar counted the steps before; by
    default the steps are alike. It may change meanwhile.
    """

    may_draw = True  # whether this process may draw bars

    def __init__(
        self, iterable: Iterable[Any] | None = None, work: Sequence[float] | None = None, **options: Any
    ) -> None:
        file = sys.stderr if self.may_draw and sys.stderr.isatty() else _NullFile()
        self.counted = 0.0  # seconds from the beginning to the last count
        self.begun = time.perf_counter()
        self.work = work
        super().__init__(iterable, leave=False, file=file, **options)
        _open.append(self)

    def update(self, n: float | None = 1) -> bool | None:
        """Count steps that are done."""
        self.counted = self.format_dict["elapsed"]
        return super().update(n)

    def close(self) -> None:
        if not self.disable and self.n > self.initial:
            _seconds[self.unit] = (time.perf_counter() - self.begun) / (self.n - self.initial)
        _open[:] = [bar for bar in _open if bar is not self]  # tqdm's bars are equal if their lines are
        super().close()


class _NullFile:
    """A file that discards what is written to it."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """Do nothing."""


def drawn() -> bool:
    """Whether a bar is visible in a terminal."""
    return bool(_open) and Progress.may_draw and sys.stderr.isatty()


def seconds_of(unit: str) -> float:
    """Time of each count of the last loop of a unit that has ended [s]; 0 without one."""
    return _seconds.get(unit, 0.0)


def state() -> str:
    """Describe how far the loops are, outermost first, as `30 of 100 steps, about 2 min left`; empty if none runs."""
    texts, inside = list[str](), 0.0
    for progress in reversed(list(_open)):  # another thread may close them
        left = time_left(progress, inside)
        texts.append(counts_of(progress) + ("" if left is None else f", about {duration(left)} left"))
        inside = left or inside
    return "; ".join(reversed(texts))


def counts_of(progress: Progress) -> str:
    """Number of steps of a loop that are done, and of all."""
    bar = progress.format_dict
    total = f" of {bar['total']}" if bar["total"] else ""
    return f"{bar['n']}{total} {bar['unit']}s"


def time_left(progress: Progress, inside: float = 0.0) -> float | None:
    """Time left of one loop; None if nothing tells it.

    It runs down between two counts, to the end of a step that takes longer than those before it; the step takes at
    least as long as the loop inside still does.
    """
    bar = progress.format_dict
    done, total, first = bar["n"], bar["total"], bar["initial"]
    if not total or not (done > first or progress.work):
        return None
    if work := progress.work:
        counted, later = sum(work[int(first) : int(done)]), sum(work[int(done) + 1 :])
        of_step = work[int(done)] if done < total else 0.0
    else:  # no list of them: there may be many millions
        counted, later, of_step = done - first, max(total - done - 1, 0), float(done < total)
    rate = progress.counted / counted if counted else 1.0  # steps without work do not tell the rate
    of_step, later = rate * of_step, rate * later
    return later + max(of_step - (bar["elapsed"] - progress.counted), inside, 0.0)


def duration(seconds: float) -> str:
    """A time to the second below a minute, and to about a tenth above: `45 s`, `6 min`, `1 h 20 min`."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 570:
        half_minutes = round(seconds / 30)
        return f"{half_minutes // 2} min" + (" 30 s" if half_minutes % 2 else "")
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


@contextmanager
def log_progress(tell: Callable[[str], object], interval: float) -> Iterator[None]:
    """Tell how far the loops are, every `interval` seconds, unless a bar in the terminal says more."""
    end, begun = threading.Event(), time.monotonic()

    def watch() -> None:
        while not end.wait(interval):
            if not drawn() and (how_far := state()):
                tell(f"{duration(time.monotonic() - begun)}: {how_far}")

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        end.set()


# A first Ctrl-C that ends early what may end early.


hurries = False  # whether there is such a thing: commands in a terminal set it


class Hurry(Exception):
    """The user asks for an early end."""


@contextmanager
def until_interrupted(may_end: bool = True) -> Iterator[None]:
    """Have the first Ctrl-C raise `Hurry`, and a second one act as before; without `hurries` the first one does."""
    before = signal.getsignal(signal.SIGINT)
    if (
        not (hurries and may_end)
        or before == signal.SIG_IGN
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def first(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        raise Hurry

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# Processes that this one starts: forks of a server that has imported what they need, and that end with this process.
#
# A fork of this process would hang on locks of its other threads, and a new process imports for seconds. The server
# has no threads, and each process is a fork of it.


CONTEXT = get_context("forkserver")
TASKS = [f"fieldcast.tasks.{each.name}" for each in iter_modules([str(Path(__file__).with_name("tasks"))])]
# optimisers import torch._dynamo, which takes as long as the rest of torch
CONTEXT.set_forkserver_preload(["__main__", *TASKS, "torch._dynamo"])
THREADS = "OMP_NUM_THREADS"  # read by OpenMP, OpenBLAS, MKL and PyTorch when they are loaded


def start_server() -> None:
    """Have the server start and import, unless it runs already; returns at once.

    It and its forks inherit blocked signals: Ctrl-C and SIGTERM are for the main process, which kills the others.
    """
    resource_tracker.ensure_running()  # which unblocks them when it starts, so before that
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    before = os.environ.get(THREADS)
    os.environ[THREADS] = "1"  # keep libraries from starting threads, which a fork would lack
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        del os.environ[THREADS]
        if before is not None:
            os.environ[THREADS] = before


def end_with_parent() -> None:
    """End this process within a second of its parent's death, whatever it does: from now on a thread looks.

    A process that `multiprocessing` has spawned knows its parent, even one that died while this process was importing.
    """
    parent, number = parent_process(), os.getppid()

    def watch() -> None:
        if parent is not None:
            parent.join()
        else:
            while os.getppid() == number:
                time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def portable(error: BaseException) -> BaseException:
    """The error as it would arrive in another process, or a RuntimeError with its text if it cannot be sent."""
    try:
        copy: BaseException = pickle.loads(pickle.dumps(error))
    except Exception:
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    return copy


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # options of glibc
KEPT, LARGE_ARRAY = 2**24, 2**22  # bytes


def release_memory() -> None:
    """Give freed memory back to the system, large arrays from now on as soon as they are freed.

    The C library of Linux keeps it, in pieces that new arrays do not fit. It may keep `KEPT` for each core at the end
    of its heap, which it would otherwise give back and ask for at every other operation. Threads that begin later, in
    this process, share that heap.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.mallopt(M_MMAP_THRESHOLD, LARGE_ARRAY)
        library.mallopt(M_TRIM_THRESHOLD, min(cores(), 64) * KEPT)
        library.mallopt(M_ARENA_MAX, 1)
        library.malloc_trim(0)


# Out-of-memory errors, which libraries report in many ways, as one InputError.


P = ParamSpec("P")
Result = TypeVar("Result")
SENTENCE = "out of memory: ask for fewer members, a smaller batch or a smaller grid."
# PyTorch and oneDNN report running out of memory as a RuntimeError, threads and processes as an OSError. A size beyond
# the range of integers cannot be allocated, either.
NO_MEMORY = re.compile(
    r"could not create a (primitive|memory)|can't allocate memory|not enough memory|cannot allocate memory"
    r"|bad_alloc|can't start new thread|Storage size calculation overflowed|integer multiplication overflow",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out."""
    reported = isinstance(error, RuntimeError | OSError) and NO_MEMORY.search(str(error))
    return bool(reported) or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def reports_out_of_memory(function: Callable[P, Result]) -> Callable[P, Result]:
    """Wrap a function so that running out of memory raises an InputError."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if is_out_of_memory(error):
                raise InputError(SENTENCE) from error
            raise

    return run
