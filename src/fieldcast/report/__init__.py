"""One self-contained HTML page about a run: it opens offline, in any browser, and prints.

===============  ==========================================================================================
`page`           `report`: the page, from the sections of the tasks that ran and of the data
`results`        what every task has
`reconstruct`    the task `reconstruct`: `reconstruct_results`, `reconstruct_figures`, `reconstruct_sections`
`forecast`       the task `forecast`: `forecast_results`, `_figures`, `_sections`, `_answer`; `lead_tables`
`sample`         the task `sample`: `sample_results`, `_figures`, `_sections`, `_answer`, `_tables`
`variants`       the comparison of the reports, from the numbers; `variant_costs`, `equal_cost`
`long_rollout`   what 500 steps come to
`film`           a forecast step by step, played in the page
`data`           the data in a few facts, and their quality
`board`          the scores of a leaderboard by experiment and case
`answer`         what it says, in a few sentences
`scores`         tables of it
`calibration`    ranks, coverage, spectra
`training`       tuned values, costs
`guide`          every score in plain words
`html`           elements of a page; every text is escaped unless it is Markup
`template`       the page around them: style and a few lines of script
===============  ==========================================================================================

Every part is optional: what a run did not make is named, and the page is shorter.
"""

from fieldcast.report.data import DataSummary, describe
from fieldcast.report.forecast import Forecast
from fieldcast.report.html import Section
from fieldcast.report.page import Task, pictures, report
from fieldcast.report.reconstruct import Reconstruct
from fieldcast.report.sample import Sample

__all__ = [
    "DataSummary",
    "Forecast",
    "Reconstruct",
    "Sample",
    "Section",
    "Task",
    "describe",
    "pictures",
    "report",
]
