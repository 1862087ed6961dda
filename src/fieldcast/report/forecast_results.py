"""Results of the task `forecast`, by experiment, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from fieldcast.figures.leads import PERFECT
from fieldcast.report import results
from fieldcast.report.board import Board
from fieldcast.scores.leaderboard_schema import FORECAST
from fieldcast.scores.regions import WHOLE

SHOWN = (1, 2, 3, 5, 7, 10, 15)  # days: columns of tables


class Lead(NamedTuple):
    """How long after its start a forecast is valid."""

    hours: float

    def __str__(self) -> str:
        """In days, or hours where that is shorter."""
        return f"{self.hours / 24:.4g}\u00a0d" if self.hours >= 24 else f"{self.hours:.4g}\u00a0h"


@dataclass(frozen=True)
class LeadBoard(Board):
    """The scores of one variable (or "all") in one region, lead by lead; of several seeds the mean."""

    region: str = "globe"

    by: ClassVar[tuple[str, ...]] = ("lead_hours",)
    difference: ClassVar[str] = "crps_minus_lim"
    case: ClassVar[type] = Lead

    @property
    def chosen(self) -> pd.DataFrame:
        """Rows of the leaderboard."""
        board = self.leaderboard
        return board[(board["region"] == self.region) & (board["variable"] == self.variable)]

    @cached_property
    def leads(self) -> list[Lead]:
        """All that were scored."""
        return sorted({lead for _, lead, _ in self.scores})

    @cached_property
    def shown(self) -> list[Lead]:
        """Those of a table: at 1, 2, 3, 5, 7, 10, 15 days, else up to seven evenly among all."""
        found = [lead for lead in self.leads if lead.hours / 24 in SHOWN]
        if len(found) < 2 and self.leads:
            places = np.linspace(0, len(self.leads) - 1, min(len(SHOWN), len(self.leads))).round().astype(int)
            found = [self.leads[place] for place in places]
        return found

    def listed(self, cases: Sequence[Any], of: int = 0) -> str:
        """As "1, 2, 3 d", or "every lead shown" where these are all `of` several."""
        if len(cases) == of and of > 1:
            return "every lead shown"
        if all(case.hours >= 24 for case in cases):
            return ", ".join(f"{case.hours / 24:.4g}" for case in cases) + "\u00a0d"
        return ", ".join(map(str, cases))


def few(leads: Sequence[Lead]) -> list[Lead]:
    """The first, one in the middle, and the last but the very long."""
    short = [lead for lead in leads if lead.hours <= 240] or list(leads)
    return list(dict.fromkeys((short[0], short[len(short) // 2], short[-1])))


@dataclass(frozen=True, kw_only=True)
class Results(results.Results):
    """Those of every task; the stored starts; and of the long rollout a table of each step, and snapshots."""

    starts: Mapping[str, Any] | None = None
    stability: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    snapshots: Mapping[str, xr.Dataset] = field(default_factory=dict)

    parts: ClassVar[tuple[str, ...]] = (*results.Results.parts, "stability", "snapshots")
    reference: ClassVar[str] = FORECAST.reference
    bounds: ClassVar[tuple[str, ...]] = (PERFECT,)  # what nobody can pass is no competitor

    @cached_property
    def region(self) -> str:
        """The whole grid, by its name."""
        regions = list(self.leaderboard["region"].unique()) if len(self.leaderboard) else []
        return next((name for name in WHOLE if name in regions), WHOLE[0])

    @cached_property
    def board(self) -> LeadBoard | None:
        """Over all variables and the whole grid."""
        return LeadBoard(self.leaderboard, region=self.region) if len(self.leaderboard) else None

    @cached_property
    def units(self) -> dict[str, str]:
        """Of each variable."""
        sources = (*self.snapshots.values(), *self.examples.values())
        return {
            str(key): str(values.attrs.get("units", "")) for one in sources for key, values in one.items()
        }

    @cached_property
    def wraps(self) -> bool:
        """Whether the grid goes round the globe."""
        kinds = [str(one.attrs.get("spectrum", "")) for one in self.diagnostics.values()]
        return not any(kind.startswith("regional") for kind in kinds)
