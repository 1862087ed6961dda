"""What a leaderboard says, in a few sentences."""

from __future__ import annotations

from collections.abc import Sequence

from .html import Markup, join, significant, tag
from .scores import DIFFERENCE, Board, Case


def short_answer(board: Board, reference: str) -> list[Markup]:
    """Who has the lowest CRPS; who is better than the reference, and where; who never is."""
    cases = board.cases(random=True) or board.cases(random=False)
    return [*lowest(board, cases), *compared(board, cases, reference)]


def lowest(board: Board, cases: Sequence[Case]) -> list[Markup]:
    """The experiment with the lowest CRPS, by fraction observed."""
    first: dict[str, list[Case]] = {}
    for case in cases:
        values = {
            name: board.scores[name, case, "crps"].value
            for name in board.order
            if (name, case, "crps") in board.scores
        }
        if values:
            first.setdefault(min(values, key=values.__getitem__), []).append(case)
    parts = [join([tag("code", name), " at ", listed(own)]) for name, own in first.items()]
    start = f"Lowest fair CRPS on unobserved cells, pattern {cases[0].pattern}: " if cases else ""
    return [join([start, join(parts, "; "), "."])] if parts else []


def compared(board: Board, cases: Sequence[Case], reference: str) -> list[Markup]:
    """A sentence for each experiment that is better than the reference somewhere, and one for all others."""
    sentences, never = [], []
    for name in board.order:
        found: dict[str, list[Case]] = {}
        for case in cases:
            if (name, case, DIFFERENCE) in board.scores:
                found.setdefault(board.scores[name, case, DIFFERENCE].verdict, []).append(case)
        if "better" in found:
            start = [tag("code", name), " is better than ", tag("code", reference)]
            where = [
                " at ",
                listed(found["better"], len(cases)),
                gain(board, name, found["better"], reference),
            ]
            rest = [
                f"; {word} at {listed(found[word])}" for word in ("not separated", "worse") if word in found
            ]
            sentences.append(join([*start, *where, *rest, "."]))
        elif found:
            never.append(tag("code", name))
    if never:
        sentences.append(join(["Nowhere better than ", tag("code", reference), ": ", join(never, ", "), "."]))
    return sentences


def gain(board: Board, name: str, cases: Sequence[Case], reference: str) -> str:
    """How much lower the CRPS is, smallest to largest, in per cent of the reference's."""
    if any((reference, case, "crps") not in board.scores for case in cases):
        return ""
    parts = [
        -100 * board.scores[name, case, DIFFERENCE].value / board.scores[reference, case, "crps"].value
        for case in cases
    ]
    ends = dict.fromkeys(significant(end, 2) for end in (min(parts), max(parts)))
    return f" (CRPS lower by {' to '.join(ends)} %)"


def listed(cases: Sequence[Case], of: int = 0) -> str:
    """Fractions as "5, 10, 20 %", or "every k" where these are all `of` several."""
    if len(cases) == of and of > 1:
        return "every k"
    if len({case.pattern for case in cases}) > 1 or cases[0].pattern != "random":
        return ", ".join(f"{case.pattern} {100 * case.k:.4g} %" for case in cases)
    return ", ".join(f"{100 * case.k:.4g}" for case in cases) + " %"
