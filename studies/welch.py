"""Welch's t-test of the rows of a table against one of them, and of the numbers that a report prints."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scipy.stats import ttest_ind_from_stats

REPORTED = re.compile(r"^(-?\d*\.?\d+) ± (\d*\.?\d+)")


class Runs(NamedTuple):
    """Mean and standard deviation of a score over some runs."""

    mean: float
    deviation: float
    number: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Runs | None:
        """The runs with these scores; None for fewer than two."""
        count = len(values)
        if count < 2:
            return None
        mean = sum(values) / count
        return cls(mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1)), count)

    @classmethod
    def from_text(cls, text: str, count: int) -> Runs | None:
        """The first mean ± deviation of a text such as "-135.00 ± .40 / -29.40 ± 2.95"; None if there is none."""
        numbers = REPORTED.match(text)
        return cls(float(numbers[1]), float(numbers[2]), count) if numbers else None


def differences(rows: Mapping[str, Runs | None], against: str) -> str:
    """List the difference of each row from `against`, its standard error and Welch's two-sided p; empty without any."""
    base = rows.get(against)
    others = {name: runs for name, runs in rows.items() if name != against and runs}
    return ", ".join(f"`{name}` {difference(runs, base)}" for name, runs in others.items()) if base else ""


def difference(runs: Runs, base: Runs) -> str:
    """Print a - b ± sqrt(s_a^2 / n_a + s_b^2 / n_b), and p of Welch's t-test (1947)."""
    error = math.hypot(runs.deviation / math.sqrt(runs.number), base.deviation / math.sqrt(base.number))
    p = float(ttest_ind_from_stats(*runs, *base, equal_var=False).pvalue)
    return f"{runs.mean - base.mean:+.2f} ± {error:.2f} (p {'< .0001' if p < 1e-4 else f'= {p:.2g}'})"
