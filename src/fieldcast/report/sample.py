"""What the task `sample` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from fieldcast.figures.png import Picture
from fieldcast.report import sample_figures, sample_sections
from fieldcast.report.html import Section
from fieldcast.report.sample_results import Results


@dataclass(frozen=True, kw_only=True)
class Sample(Results):
    """Results of the task with their figures and sections."""

    title = "Sampling"

    def figures(self) -> dict[str, Figure]:
        """The figures of record, by name: to be stored, and shown in `sections`."""
        return sample_figures.draw(self)

    def sections(self, figures: Mapping[str, Picture]) -> list[Section]:
        """Parts of the page, in order."""
        return sample_sections.write(self, figures)
