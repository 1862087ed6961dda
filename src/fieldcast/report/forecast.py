"""What the task `forecast` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from matplotlib.figure import Figure
from PIL import Image

from fieldcast.figures import animation
from fieldcast.figures.png import Picture
from fieldcast.report import forecast_figures, forecast_sections
from fieldcast.report.forecast_results import Results
from fieldcast.report.html import Section


@dataclass(frozen=True, kw_only=True)
class Forecast(Results):
    """Results of the task with their figures and sections."""

    title = "Forecasts"

    def figures(self) -> dict[str, Figure]:
        """The figures of record, by name: to be stored, and shown in `sections`."""
        return forecast_figures.draw(self)

    def animation(self) -> bytes | None:
        """A film of one forecast as GIF, to be stored; the page plays it too. None without examples."""
        return animation.gif(self.frames) if self.frames else None

    @cached_property
    def frames(self) -> list[Image.Image]:
        """Of the film."""
        return forecast_figures.film(self)

    def sections(self, figures: Mapping[str, Picture]) -> list[Section]:
        """Parts of the page, in order."""
        return forecast_sections.write(self, figures, self.frames)
