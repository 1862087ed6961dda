"""Types and shapes are checked in the first calls of a function in each test.

The checks of jaxtyping and beartype take 30 microseconds a call, which in loops over time steps or cells is most of the
time of a test. The decorator that jaxtyping's import hook puts on every function is made when the function is first
called, and steps aside after some calls, until the next test.
"""

from collections.abc import Callable
from functools import wraps
from inspect import isfunction
from typing import Any

import jaxtyping

CALLS = 20  # calls of a function that are checked in each test
TESTS = [0]  # number of tests that have begun
CHECKED = jaxtyping.jaxtyped


def jaxtyped(*, typechecker: Any) -> Callable[[Any], Any]:
    """Decorator that checks types and shapes in the first calls of a function in each test; in other things always."""

    def decorate(thing: Any) -> Any:
        return (
            first_calls(thing, typechecker) if isfunction(thing) else CHECKED(thing, typechecker=typechecker)
        )

    return decorate


def first_calls(function: Callable[..., Any], typechecker: Any) -> Callable[..., Any]:
    """The function, checked in its first calls."""
    checked: Callable[..., Any] | None = None
    test, left = -1, 0

    @wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        __tracebackhide__ = True
        nonlocal checked, test, left
        if test != TESTS[0]:
            test, left = TESTS[0], CALLS
        if left == 0:
            return function(*args, **keywords)
        left -= 1
        if checked is None:
            checked = CHECKED(function, typechecker=typechecker)
        return checked(*args, **keywords)

    return call


jaxtyping.jaxtyped = jaxtyped
