"""What a leaderboard says, in a few sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fieldcast.report.board import Board
from fieldcast.report.html import Markup, join, significant, tag


def short_answer(board: Board, reference: str) -> list[Markup]:
    """Who has the lowest CRPS; who is better than the reference, and where; who never is."""
    cases = board.cases(random=True) or board.cases(random=False)
    start = f"Lowest fair CRPS on unobserved cells, pattern {cases[0].pattern}: " if cases else ""
    return [*lowest(board, cases, start), *compared(board, cases, reference)]


def lowest(board: Board, cases: Sequence[Any], start: str, unranked: Sequence[str] = ()) -> list[Markup]:
    """The experiment with the lowest CRPS in each case, bounds (`unranked`) aside."""
    first: dict[str, list[Any]] = {}
    for case in cases:
        values = {
            name: board.scores[name, case, "crps"].value
            for name in board.order
            if (name, case, "crps") in board.scores and name not in unranked
        }
        if values:
            first.setdefault(min(values, key=values.__getitem__), []).append(case)
    parts = [join([tag("code", name), " at ", board.listed(own)]) for name, own in first.items()]
    return [join([start, join(parts, "; "), "."])] if parts else []


def compared(
    board: Board, cases: Sequence[Any], reference: str, unranked: Sequence[str] = ()
) -> list[Markup]:
    """A sentence for each experiment that is better than the reference somewhere, one for all that are nowhere, and one
    for those of which there is no telling."""
    sentences, never, unknown = [], [], []
    for name in (name for name in board.order if name not in unranked):
        found: dict[str, list[Any]] = {}
        for case in cases:
            if (name, case, board.difference) in board.scores:
                found.setdefault(board.scores[name, case, board.difference].verdict, []).append(case)
        if "better" in found:
            start = [tag("code", name), " is better than ", tag("code", reference)]
            where = [
                " at ",
                board.listed(found["better"], len(cases)),
                gain(board, name, found["better"], reference),
            ]
            rest = [
                f"; {word} at {board.listed(found[word])}"
                for word in ("not separated", "worse")
                if word in found
            ]
            sentences.append(join([*start, *where, *rest, "."]))
        elif {"not separated", "worse"} & set(found):
            never.append(tag("code", name))
        elif found:
            unknown.append(tag("code", name))
    if never:
        sentences.append(join(["Nowhere better than ", tag("code", reference), ": ", join(never, ", "), "."]))
    if unknown:
        told = "Not told apart from ", tag("code", reference), ", for the times are too few for intervals: "
        sentences.append(join([*told, join(unknown, ", "), "."]))
    return sentences


def gain(board: Board, name: str, cases: Sequence[Any], reference: str) -> str:
    """How much lower the CRPS is, smallest to largest, in per cent of the reference's."""
    if any((reference, case, "crps") not in board.scores for case in cases):
        return ""
    parts = [
        -100 * board.scores[name, case, board.difference].value / board.scores[reference, case, "crps"].value
        for case in cases
    ]
    ends = dict.fromkeys(significant(end, 2) for end in (min(parts), max(parts)))
    return f" (CRPS lower by {' to '.join(ends)} %)"
