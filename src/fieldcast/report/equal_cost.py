"""Variants of a model at equal inference cost: with as many members as are drawn in the same time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from fieldcast.report.forecast_figures import fed_on_mean
from fieldcast.report.forecast_results import LeadBoard, Results
from fieldcast.report.html import Cell, Markup, join, table, tag
from fieldcast.report.scores import cell
from fieldcast.report.training import cost
from fieldcast.report.variant_costs import number
from fieldcast.scores.equal_cost import COSTS, REFERENCE, at_equal_cost

AT_EQUAL_COST = (
    "The fair CRPS does not depend on how many members are drawn, so it is the same at any cost. The mean of more "
    "members is better: RMSE is that of the mean of as many as the time allows, from the stored error and spread. "
    "Times were measured in this run, and are taken to grow with the members in proportion. What goes on from its "
    "mean is left out: its members depend on their number."
)


@dataclass(frozen=True)
class EqualCost:
    """Variants with as many members as are drawn in the time of the reference's."""

    found: pd.DataFrame  # of `at_equal_cost`
    region: str
    members: int  # of the reference

    @classmethod
    def of(cls, results: Results, names: Sequence[str]) -> EqualCost | None:
        """Of those of the variants whose members do not depend on how many they are; None if there are not two."""
        members = int((results.starts or {}).get("members", 0))
        free = [name for name in names if not fed_on_mean(name, attributes(results, name))]
        scores = {name: results.scores[name] for name in free if name in results.scores}
        found = at_equal_cost(scores, results.costs, results.region, members=members)
        there = found[(found["score"] == "rmse_at_cost") & found["value"].notna()]
        return cls(found, results.region, members) if members and there["experiment"].nunique() > 1 else None

    @cached_property
    def board(self) -> LeadBoard:
        """Its scores by experiment and lead."""
        return LeadBoard(self.found, region=self.region)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many members each has."""
        return {str(name): int(own.iloc[0]) for name, own in self.found.groupby("experiment")["members"]}

    def sentence(self) -> Markup:
        """The lowest error of the mean at each lead."""
        parts = []
        for lead in self.board.leads:
            errors = {
                name: one.value
                for name in self.counts
                if (one := self.board.scores.get((name, lead, "rmse_at_cost")))
            }
            if errors:
                best = min(errors, key=errors.__getitem__)
                own, other = (number(errors[name]) if name in errors else "–" for name in (best, REFERENCE))
                members = (
                    f" with {self.counts[best]} members, {REFERENCE} {other}" if best != REFERENCE else ""
                )
                parts.append(join([f"at {lead} ", tag("code", best), f" ({own}{members})"]))
        time = f"the time of {self.members} members of {REFERENCE}"
        start = f"At equal inference cost, {time}, the lowest RMSE of the mean: "
        return join([start, join(parts, ", "), "."])

    def table(self, names: Sequence[str]) -> Markup:
        """Costs, members, and scores at each lead."""
        costs = self.found.drop_duplicates("experiment").set_index("experiment")
        scores = {"crps": "fair CRPS", "rmse_at_cost": "RMSE at equal cost"}
        cases = [(score, lead) for score in scores for lead in self.board.leads]
        rows = [
            [
                Cell(tag("code", name)),
                *(cost(float(costs.loc[name, key])) for key in COSTS),
                *(cell(self.board.scores.get((name, lead, score))) for score, lead in cases),
            ]
            for name in names
            if name in self.counts
        ]
        head = ["experiment", "evaluations a step", "one draw, ms", "members at equal cost"]
        return table([*head, *(f"{scores[score]}, {lead}" for score, lead in cases)], rows, AT_EQUAL_COST)


def attributes(results: Results, name: str) -> Mapping[Hashable, object]:
    """What is known of an experiment's forecasts."""
    stored = results.diagnostics.get(name)
    return {} if stored is None else stored.attrs
