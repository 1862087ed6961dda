"""Out-of-memory errors, which libraries report in many ways, as one InputError."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from fieldcast.errors import InputError

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
