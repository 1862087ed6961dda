"""The initial times of forecasts, as `initial_times.json` stores them."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class InitialTimes(TypedDict):
    """Initial times of all forecasts, which every method shares, with the digest of all that scores depend on."""

    data: str  # digest of the fields
    train: list[str]  # first and last time of the training split
    step_hours: float
    step_months: NotRequired[int]  # number of months of a calendar step
    step_same_day: NotRequired[int]  # 1 if monthly times keep to a day of the month
    scored: list[str]  # initial times
    leads: int  # number of steps of each forecast
    members: int
    stability: list[str]  # initial times of the long rollout
    stability_steps: int
    stability_members: int
    digest: str
