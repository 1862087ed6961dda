"""First screen of the page: methods, best results and doubts, for readers who know none of the scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fieldcast.calendars import UNITS, lead_text, unit_of
from fieldcast.figures.style import percent
from fieldcast.report.board import Board, Lead
from fieldcast.scores.leaderboard import skill_horizon
from fieldcast.scores.numbers import significant
from fieldcast.scores.sample_metrics import RECOGNISED_ACCURACY
from fieldcast.scores.stability import outcomes

if TYPE_CHECKING:
    from fieldcast.report.assimilate import Assimilate
    from fieldcast.report.forecast import Forecast
    from fieldcast.report.reconstruct import Reconstruct
    from fieldcast.report.results import Results
    from fieldcast.report.sample import Sample

TIE = 0.02  # relative difference of two scores below which a reader may take either experiment
MIN_SPREAD_SKILL, MAX_SPREAD_SKILL = 0.5, 1.5  # beyond these ratios the spread says little about the error
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
MIN_INITIAL_TIMES = 10  # initial times that a trusted ranking needs


class Glance(NamedTuple):
    """Clauses of a task for the three sentences of the first screen; none where nothing has been scored."""

    done: Sequence[str] = ()
    best: Sequence[str] = ()
    doubt: Sequence[str] = ()
    single: bool = False  # whether methods were trained with a single seed


def sentences(glances: Sequence[Glance]) -> list[tuple[str, str]]:
    """Headings and sentences of the first screen, from the clauses of all tasks; those without any are left out."""
    doubt = [clause for glance in glances for clause in glance.doubt]
    if any(glance.single for glance in glances):
        doubt.append("learned methods were trained once, so small differences may vanish with another seed")
    clauses_by_heading = {
        "What was done": [clause for glance in glances for clause in glance.done],
        "What is best": [clause for glance in glances for clause in glance.best],
        "What to treat with caution": doubt,
    }
    return [(heading, sentence(clauses)) for heading, clauses in clauses_by_heading.items() if clauses]


def sentence(clauses: Sequence[str]) -> str:
    """Clauses as one sentence."""
    text = "; ".join(clauses)
    return f"{text[0].upper()}{text[1:]}."


def reconstruct(results: Reconstruct) -> Glance:
    """Clauses on reconstructions; those on the best result name a pattern that is not random."""
    pattern = results.middle_case.pattern if results.board else ""
    suffix = "" if pattern == "random" else f" (pattern {pattern})"
    return from_observed_cells(
        results, "filled in whole maps from {} % of their cells", "filling in maps", suffix
    )


def assimilate(results: Assimilate) -> Glance:
    """Clauses of the first screen on the cycles of `assimilate`."""
    return from_observed_cells(
        results,
        "tracked the weather from observations of {} % of the cells at each step",
        "tracking the weather",
        " at each step",
    )


def from_observed_cells(results: Reconstruct, done: str, activity: str, suffix: str) -> Glance:
    """Number of methods and fractions observed, the smallest error, ensembles whose spread is wrong.

    `done` states what the methods did, with {} for the fractions, and `activity` names it; `suffix` follows the
    fraction from which the best result was obtained.
    """
    board = results.board
    if not board:
        return Glance()
    case = results.middle_case
    best = best_clause(results, case, f"for {activity}", f"from {percent(case.k)} of the cells{suffix}")
    statement = f"{count(board.order)} {done.format(fractions_in_words(board))}"
    return Glance([statement], best, miscalibration(results, f"in {activity}"), trained_once(results))


def fractions_in_words(board: Board) -> str:
    """The smallest and the largest fraction observed, in percent: "5 to 20", or "5" where they are equal."""
    shares = [case.k for case in board.cases]
    return " to ".join(dict.fromkeys(f"{100 * share:.3g}" for share in (min(shares), max(shares))))


def forecast(results: Forecast) -> Glance:
    """Number of methods and last lead time, the smallest error, its useful lead times, and failures."""
    board = results.board
    if not board:
        return Glance()
    done = f"{count(board.order)} forecast the weather up to {duration_of(board.cases[-1])} ahead"
    times = results.scored()["times"]
    done += f", from {len(times)} initial times" if times else ""
    lead = results.glance_lead
    best = [
        clause + useful_leads(results)
        for clause in best_clause(results, lead, "for forecasting", f"{duration_of(lead)} ahead")
    ]
    doubt = few_initial_times(len(times))
    lost = outcomes(results.ordered("stability"))
    failed = [name for name, _ in (*lost["blew_up"], *lost["diverged"])] if lost else []
    failed += lost["unrealistic"] if lost else []
    doubt += [f"long forecasts of {names(results, failed)} stop looking like weather"] if failed else []
    return Glance([done], best, [*miscalibration(results, "in forecasting"), *doubt], trained_once(results))


def few_initial_times(number: int) -> list[str]:
    """A doubt if scores are means over only a few initial times."""
    times = f"{number} initial time{'s' if number > 1 else ''}"
    return (
        [f"scores are means over only {times}, too few to rank methods"]
        if 0 < number < MIN_INITIAL_TIMES
        else []
    )


def useful_leads(results: Forecast) -> str:
    """Lead times to which the best forecasts beat the climatological ensemble, on average and beyond the interval.

    Empty without skill scores.
    """
    board = results.leaderboard
    table = skill_horizon(board)
    table = table[(table["region"] == results.region) & (table["variable"] == "all")]
    hours = table.loc[table["experiment"] == results.best, "lead_hours"].mean()
    if not hours > 0:
        return ""
    last = float(board["lead_hours"].max())
    unit = UNITS[unit_of(last) if math.isinf(hours) or hours >= UNITS[unit_of(last)] else unit_of(hours)]
    average = lead_text(last) if math.isinf(hours) else duration_of(Lead(unit * (hours // unit)))
    better = "better than past days of the season up to"
    clause = f"; on average {results.label(results.best)} is {better} {average} ahead"
    of_best = (board["experiment"] == results.best) & (board["region"] == results.region)
    skill = board[of_best & (board["variable"] == "all") & (board["score"] == "skill")]
    lower_ends = skill.groupby("lead_hours")["low"].min()
    if lower_ends.isna().all():
        return clause
    significant_leads = lower_ends.index[(lower_ends > 0).cummin()]
    chance = "with significance (95 % interval)"
    if not len(significant_leads):
        return f"{clause}, though at no lead time {chance}"
    until = lead_text(float(significant_leads[-1]))
    return (
        f"; {results.label(results.best)} is {better} {until} ahead {chance}"
        if until == average
        else f"{clause}, and up to {until} {chance}"
    )


def duration_of(lead: Lead) -> str:
    """A lead time in words."""
    return lead_text(lead.hours)


def sample(results: Sample) -> Glance:
    """Number of methods, and how well a classifier recognises the samples of the best."""
    board = results.board
    if not board:
        return Glance()
    done = f"{count(board.order)} generated new {'images' if results.images else 'states'} unconditionally"
    accuracy = {name: board.value(name, "c2st") for name in board.having("c2st")}
    if not accuracy:
        return Glance([done], single=trained_once(results))
    best = min(accuracy, key=lambda name: abs(accuracy[name] - 0.5))
    share = f"{100 * accuracy[best]:.3g} % accuracy, where 50 % would be chance"
    if accuracy[best] >= RECOGNISED_ACCURACY:
        share = f"{100 * accuracy[best]:.3g} % accuracy (chance: 50 %)"
        methods = "every method" if len(accuracy) > 1 else results.label(best)
        least = "at least " if len(accuracy) > 1 and not share.startswith("100") else ""
        doubt = [f"a classifier distinguishes the samples of {methods} from real data with {least}{share}"]
        return Glance([done], [], doubt, trained_once(results))
    clause = f"for sampling, {results.label(best)}: a classifier distinguishes its samples from real data with {share}"
    recognised = [name for name, value in accuracy.items() if value >= RECOGNISED_ACCURACY]
    doubt = (
        [f"samples of {names(results, recognised)} are easily distinguished from real data"]
        if recognised
        else []
    )
    return Glance([done], [clause], doubt, trained_once(results))


def best_clause(results: Results, case: Any, purpose: str, where: str) -> list[str]:
    """Clause on the best experiment, on how far the next one is behind, and on its error relative to the baseline.

    Empty if only bounds have been scored.
    """
    board = results.board
    scores = {name: board.value(name, "crps", case) for name in board.having("crps", cases=[case])}
    best = results.best
    if best not in scores:
        return []
    others = sorted(set(scores) - {best, *results.bounds}, key=lambda name: (scores[name], name))
    clause = f"{purpose} {where}, {results.label(best)}"
    if others:
        behind = scores[others[0]] / scores[best] - 1
        second = results.label(others[0])
        larger = f"{significant(100 * behind, 2)} % larger"
        larger = larger if behind < 1 else f"{significant(1 + behind, 2)} times as large"
        compared = f"the errors of {second}, uncertainty included, are {larger}"
        compared = f"{second} is practically as good" if behind < TIE else compared
        clause += f" ({compared})"
    roles = {name: results.about[name].role for name in others}
    free = [name for role in ("climatology", "baseline") for name in others if roles[name] == role]
    errors = [board.value(name, "rmse", case) for name in (best, *free[:1])]
    if free and errors[0] < errors[1]:
        reduction = f"{100 * (1 - errors[0] / errors[1]):.0f} %"
        clause += (
            f"; the typical error of its best estimate, the mean of its members, is {reduction} smaller than "
        )
        clause += f"that of the baseline “{results.label(free[0])}”"
    return [clause]


def miscalibration(results: Results, where: str) -> list[str]:
    """Ensembles with far too little or too much spread, by their mean spread-skill ratio over all cases."""
    board = results.board
    clauses = []
    for name in board.having("ssr"):
        ratios = [board.value(name, "ssr", case, otherwise=math.nan) for case in board.cases]
        ratio = float(np.nanmean(ratios))
        if ratio < MIN_SPREAD_SKILL or ratio > MAX_SPREAD_SKILL:
            fault = "far too confident" if ratio < MIN_SPREAD_SKILL else "too cautious"
            size = f"{100 * ratio:.0f} % of its error, where 100 % would be right"
            clauses.append(f"{where}, {results.label(name)} is {fault}: the spread of its members is {size}")
    return clauses


def trained_once(results: Results) -> bool:
    """Whether a method is learned, and every one was trained with one seed only."""
    learned = any(results.learned(name) for name in results.board.order)
    return learned and bool(results.leaderboard["seed"].nunique() == 1)


def count(experiments: Sequence[str]) -> str:
    """Number of methods, as a word up to ten."""
    number = len(experiments)
    text = NUMBERS[number - 1] if number <= len(NUMBERS) else str(number)
    return f"{text} method{'' if number == 1 else 's'}"


def names(results: Results, experiments: Iterable[str]) -> str:
    """Labels in a row: a, b and c."""
    *others, last = dict.fromkeys(map(results.label, experiments))
    return f"{', '.join(others)} and {last}" if others else last
