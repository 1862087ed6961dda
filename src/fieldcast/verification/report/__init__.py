"""One self-contained HTML page about a run: it opens offline, in any browser, and prints.

=============  ==========================================================================================
`page`         `report`: the page, from the sections of the tasks that ran and of the data
`reconstruct`  the task `reconstruct`: `reconstruct_results`, `reconstruct_figures`, `reconstruct_sections`
`data`         the data in a few facts, and their quality
`answer`       what a leaderboard says, in a few sentences
`scores`       tables of a leaderboard
`calibration`  ranks, coverage, spectra
`training`     tuned values, costs
`guide`        every score in plain words
`html`         elements of a page; every text is escaped unless it is Markup
`template`     the page around them: style and a few lines of script
=============  ==========================================================================================

Every part is optional: what a run did not make is named, and the page is shorter.
"""

from .data import DataSummary, describe
from .html import Section
from .page import Task, report
from .reconstruct import Reconstruct

__all__ = ["DataSummary", "Reconstruct", "Section", "Task", "describe", "report"]
