"""One self-contained HTML page about a run: it opens offline, in any browser, and prints.

=================  ==========================================================================================
`page`             `report`: the page, from the sections of the tasks that ran and of the data
`rendering`        Jinja templates (`templates/*.j2`): layout, and the prose that does not depend on results
`first_screen`     the first screen: the best experiment of each task, the next, and what to distrust
`results`          fields and content of every task
`reconstruct`      the task `reconstruct`
`forecast`         the task `forecast`
`events`           events: Brier skill, and which figures are drawn
`assimilate`       the task `assimilate`
`sample`           the task `sample`
`comparisons`      tables of named comparisons of experiments (`comparisons.yml`), of tuned values and costs
`scores_by_case`   the scores of a leaderboard by experiment and case
`score_tables`     tables of a leaderboard, paired differences; `tables`: cells
`data`             the data in a few facts
`exploration`      a first look at data, as text and as a page
`glossary`         every score explained
=================  ==========================================================================================

A section without content is left out, with its entry in the side bar.
"""

from fieldcast.report.assimilate import Assimilate
from fieldcast.report.data import DataSummary, describe
from fieldcast.report.forecast import Forecast
from fieldcast.report.page import report
from fieldcast.report.reconstruct import Reconstruct
from fieldcast.report.rendering import Section
from fieldcast.report.results import Results
from fieldcast.report.sample import Sample

__all__ = [
    "Assimilate",
    "DataSummary",
    "Forecast",
    "Reconstruct",
    "Results",
    "Sample",
    "Section",
    "describe",
    "report",
]
