"""Findings from the scores of samples: the numbers in the sentences of `sample.html.j2`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from fieldcast.report.board import Board, Sampled
from fieldcast.scores.bootstrap import Score
from fieldcast.scores.numbers import significant, span, with_interval

if TYPE_CHECKING:
    from fieldcast.report.sample import Sample

RECOGNISED_ACCURACY = 0.95  # accuracy of a classifier that nearly always recognises samples
MEMORISATION_FLAG = 0.1  # share of very near samples: twice that of test data


class Lowest(NamedTuple):
    """Lowest FID or KID in a group of comparable experiments."""

    score: str
    where: str  # the treatment of the data, if there are several
    best: str
    value: str
    floor: str  # score of real data in place of samples
    verdict: str
    following: list[str]  # the next best, if there is one
    next_value: str


@dataclass(frozen=True)
class Findings:
    """The findings of one leaderboard of samples."""

    results: Sample  # annotated by name only: sample.py imports this module
    board: Board

    def groups(self, scores: Sequence[str], key: Callable[[str], float]) -> Iterator[tuple[str, list[str]]]:
        """Groups of comparable experiments, lowest key first, each with its treatment of the data."""
        groups = self.results.comparable(self.board.having(*scores), scores[0])
        for treatment, names in groups.items():
            yield treatment if len(groups) > 1 else "", sorted(names, key=key)

    def lowest(self) -> Iterator[Lowest]:
        """The lowest FID and KID, relative to real data in the samples' place, and the next best."""
        for score in ("fid", "kid"):
            for where, (best, *others) in self.groups([score], partial(self.board.value, score=score)):
                value, floor = self.board.scores[best, Sampled(), score], self.results.floor(best, score)
                yield Lowest(
                    score.upper(),
                    where,
                    best,
                    score_with_interval(value),
                    score_with_interval(floor) if floor else "",
                    verdict(value, floor) if floor else "",
                    others[:1],
                    significant(self.board.value(others[0], score)) if others else "",
                )

    def hardest_to_recognise(self) -> tuple[str, str, list[str], bool] | None:
        """The experiment whose classifier accuracy is nearest to chance, that accuracy, the experiments that the
        classifier nearly always recognises, and whether these are all others."""
        names = sorted(self.board.having("c2st"), key=lambda name: abs(self.board.value(name, "c2st") - 0.5))
        if not names:
            return None
        always = [name for name in names[1:] if self.board.value(name, "c2st") >= RECOGNISED_ACCURACY]
        accuracy = percents(self.board.scores[names[0], Sampled(), "c2st"])
        return names[0], accuracy, always, 3 < len(always) == len(names) - 1

    def compared(self) -> bool:
        """Whether a classifier has been trained on the samples of several experiments."""
        return len(self.board.having("c2st")) > 1

    def densities(self) -> dict[str, list[str]]:
        """Experiments by the kind of their likelihood; empty if none has one."""
        kinds = {name: self.results.density(name) for name in self.board.order}
        if not any(kinds.values()):
            return {}
        return {
            kind: [name for name in kinds if kinds[name] == kind] for kind in ("exact", "lower bound", "")
        }

    def highest(self) -> Iterator[tuple[str, str, str, str, str]]:
        """Treatment; the experiments with the highest and the lowest log-likelihood of test data, with their values."""
        for where, names in self.groups(["elbo", "iwae"], lambda name: -self.tightest(name)):
            if len(names) > 1:
                first, last = names[0], names[-1]
                values = [significant(self.tightest(name), 4) for name in (first, last)]
                yield where, first, values[0], last, values[1]

    def tightest(self, name: str) -> float:
        """log p, or the IWAE bound where there is one, else the ELBO [nats]."""
        return self.board.value(name, "iwae", otherwise=self.board.value(name, "elbo"))

    def bits(self) -> list[tuple[str, str]]:
        """Bits per cell, the fewest first."""
        names = sorted(
            self.board.having("bits_per_dim"), key=lambda name: self.board.value(name, "bits_per_dim")
        )
        return [(name, significant(self.board.value(name, "bits_per_dim"))) for name in names]

    def reconstructions(self) -> Iterator[tuple[str, str, str, str]]:
        """Treatment, the experiment that reconstructs test data best, its error, and that of training data."""
        for where, names in self.groups(["test_loss"], lambda name: self.board.value(name, "test_loss")):
            if len(names) > 1:
                errors = [
                    significant(self.board.value(names[0], f"{part}_loss")) for part in ("test", "train")
                ]
                yield where, names[0], errors[0], errors[1]

    def copies(self) -> list[tuple[str, str]]:
        """Experiments with more very near samples than chance explains, and their share in percent."""
        near = {name: share for name, (_, _, share) in self.results.near.items() if share > MEMORISATION_FLAG}
        return [
            (name, f"{100 * near[name]:.0f}") for name in sorted(near, key=near.__getitem__, reverse=True)
        ]

    def not_finite(self) -> list[tuple[str, int, int]]:
        """Experiments with samples that are not finite, their number, and that of all samples."""
        lost = []
        for name, stored in self.results.ordered("diagnostics").items():
            drawn, finite = (int(stored.attrs.get(key, 0)) for key in ("samples", "finite"))
            if "finite" in stored.attrs and finite < drawn:
                lost.append((name, drawn - finite, drawn))
        return lost

    def sizes(self) -> dict[str, str]:
        """Numbers of samples and real states, and the feature extractor; empty if not stored."""
        facts = {name: self.results.facts(name) for name in ("extractor", "accuracy", "weights")}
        texts = {name: str(values[0]) if values else "" for name, values in facts.items()}
        texts["accuracy"] = f"{float(texts['accuracy']):.3f}" if texts["accuracy"] else ""
        return texts | {name: span(self.results.facts(name)) for name in ("samples", "real", "features")}

    def draws(self) -> str:
        """Number of posterior draws in the IWAE bound."""
        stored = self.results.diagnostics
        counts = [stored[name].attrs.get("K") for name in self.board.having("iwae") if name in stored]
        return span([count for count in counts if count])


def score_with_interval(score: Score) -> str:
    """A value with its interval."""
    if math.isinf(score.value):  # samples that are not finite
        return significant(score.value)
    value, low, high = with_interval(*score)
    return value if math.isnan(score.low) else f"{value} ({low} to {high})"


def verdict(score: Score, floor: Score) -> str:
    """Whether a distance is larger than those between sets of real data."""
    low = score.value if math.isnan(score.low) else score.low
    high = floor.value if math.isnan(floor.high) else floor.high
    return "significantly higher" if low > high else "not significantly different"


def percents(score: Score) -> str:
    """A share with its interval."""
    interval = "" if math.isnan(score.low) else f" ({100 * score.low:.0f} to {100 * score.high:.0f} %)"
    return f"{100 * score.value:.0f} %{interval}"
