"""What the scores of samples say, in a few sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from fieldcast.report.board import Score
from fieldcast.report.html import Markup, join, numbers, significant, tag
from fieldcast.report.sample_results import NEAR, Results, SampleBoard

EXACT = ("flow", "probabilistic_pca")  # whose log p is no bound
APART = 0.95  # a classifier's accuracy from which samples are told from real data nearly always
CROWDED = 2 * NEAR  # share of very near samples that is worth a word


def sentences(results: Results, board: SampleBoard) -> list[Markup]:
    """Who is nearest to the data; who can be told from them; what the likelihoods say; whether there are copies."""
    found = [*lowest(results, board, "fid"), *lowest(results, board, "kid"), told_apart(board)]
    found += [with_likelihood(board), *highest(results, board), fewest_bits(board)]
    found += [*restored(results, board), copies(results), not_finite(results)]
    return [sentence for sentence in found if sentence]


def ranked(
    results: Results, board: SampleBoard, scores: Sequence[str], worth: Callable[[str], float]
) -> Iterator[tuple[str, list[str]]]:
    """Experiments with one of the scores, the lowest `worth` first, in groups that see the data alike; and words for
    the group where there are several."""
    alike = results.alike(board.having(*scores), scores[0])
    for seen, names in alike.items():
        where = f" on data seen as {seen}" if seen and len(alike) > 1 else ""
        yield where, sorted(names, key=worth)


def lowest(results: Results, board: SampleBoard, score: str) -> Iterator[Markup]:
    """The lowest FID or KID, against what real data have in the samples' place, and the next."""
    for where, (best, *others) in ranked(results, board, [score], lambda name: board.value(name, score)):
        value, floor = board.scores[best, score], results.floor(best, score)
        parts = [f"Lowest {score.upper()}{where}: ", code([best]), f" {in_words(value)}"]
        if floor is not None:
            parts.append(f", where real data have {in_words(floor)}, and it is {verdict(value, floor)}")
        if others:
            parts += ["; then ", code(others[:1]), f" {significant(board.value(others[0], score))}"]
        yield join([*parts, "."])


def in_words(found: Score) -> str:
    """A value with its interval."""
    value, low, high = numbers(*found)
    return value if math.isnan(found.low) else f"{value} ({low} to {high})"


def verdict(found: Score, floor: Score) -> str:
    """Whether a distance is beyond what sets of real data have."""
    low = found.value if math.isnan(found.low) else found.low
    high = floor.value if math.isnan(floor.high) else floor.high
    return "above that" if low > high else "not separated from that"


def told_apart(board: SampleBoard) -> Markup:
    """How often a classifier tells samples from real data."""
    names = sorted(board.having("c2st"), key=lambda name: abs(board.value(name, "c2st") - 0.5))
    if not names:
        return Markup("")
    share = percents(board.scores[names[0], "c2st"])
    parts = ["A classifier is right about ", code(names[:1]), f" in {share} of cases, the least of all; "]
    parts.append("50 % is guessing")
    always = [name for name in names[1:] if board.value(name, "c2st") >= APART]
    if always:
        whom = "all others" if 3 < len(always) == len(names) - 1 else code(always)
        parts += [f"; nearly always (from {100 * APART:.0f} %) about ", whom]
    return join([*parts, "."])


def percents(found: Score) -> str:
    """A share with its interval."""
    inside = "" if math.isnan(found.low) else f" ({100 * found.low:.0f} to {100 * found.high:.0f} %)"
    return f"{100 * found.value:.0f} %{inside}"


def with_likelihood(board: SampleBoard) -> Markup:
    """Which experiments have a likelihood, and of what kind."""
    known = board.having("elbo", "iwae", "bits_per_dim")
    kinds = {
        "exact of ": [name for name in known if name in EXACT],
        "a lower bound of ": [name for name in known if name not in EXACT],
        "none of ": [name for name in board.order if name not in known],
    }
    parts = [join([words, code(names)]) for words, names in kinds.items() if names]
    return join(["Likelihood: ", join(parts, "; "), "."]) if known else Markup("")


def highest(results: Results, board: SampleBoard) -> Iterator[Markup]:
    """The highest log-likelihood of test data, and the lowest."""
    for where, names in ranked(results, board, ["elbo", "iwae"], lambda name: -tightest(board, name)):
        if len(names) > 1:
            ends = [names[0], names[-1]]
            first, last = (join([code([one]), f" {significant(tightest(board, one), 4)}"]) for one in ends)
            words = f"Highest log-likelihood{where}, by the tightest bound known: "
            yield join([words, first, " nats a datum; lowest: ", last, "."])


def tightest(board: SampleBoard, name: str) -> float:
    """log p, or the IWAE bound where there is one, else the ELBO [nats]."""
    return board.value(name, "iwae", board.value(name, "elbo"))


def fewest_bits(board: SampleBoard) -> Markup:
    """The densities in bits a cell, the best first."""
    names = sorted(board.having("bits_per_dim"), key=lambda name: board.value(name, "bits_per_dim"))
    each = [join([code([name]), f" {significant(board.value(name, 'bits_per_dim'))}"]) for name in names]
    return join(["Bits a cell, fewer are better: ", join(each, ", "), "."]) if each else Markup("")


def restored(results: Results, board: SampleBoard) -> Iterator[Markup]:
    """Who reconstructs test data best, and how much worse than training data."""
    for where, names in ranked(results, board, ["test_loss"], lambda name: board.value(name, "test_loss")):
        if len(names) > 1:
            test, train = (significant(board.value(names[0], f"{part}_loss")) for part in ("test", "train"))
            words = f"Smallest error of reconstructions{where}: "
            yield join([words, code(names[:1]), f" {test} (mean square a cell; of training data {train})."])


def copies(results: Results) -> Markup:
    """Whose samples lie nearer to the training data than test data do."""
    near = {name: share for name, (_, _, share) in results.near.items() if share > CROWDED}
    if not results.near:
        return Markup("")
    if not near:
        return Markup("No sign of copies: no more samples than test data lie very near to a training state.")
    names = sorted(near, key=near.__getitem__, reverse=True)
    each = join((join([code([name]), f" {100 * near[name]:.0f} %"]) for name in names), ", ")
    words = " of samples, where 5 % are expected. Blurred samples are near to many training states and copies of none."
    return join(["Nearer to a training state than 95 % of test data are: ", each, words])


def not_finite(results: Results) -> Markup:
    """Whose samples have blown up."""
    found = []
    for name, one in results.ordered("diagnostics").items():
        drawn, finite = (int(one.attrs.get(key, 0)) for key in ("samples", "finite"))
        if "finite" in one.attrs and finite < drawn:
            found.append(join([code([name]), f" {drawn - finite} of {drawn}"]))
    return join(["Samples that are not finite: ", join(found, ", "), "."]) if found else Markup("")


def code(names: Sequence[str]) -> Markup:
    """Names of experiments."""
    return join((tag("code", name) for name in names), ", ")


def sample_sizes(results: Results) -> str:
    """How many samples were compared with how many real states, by which features."""
    drawn, real = (spread(results.told(name)) for name in ("samples", "real"))
    parts = [f"{drawn or 'Some'} samples of each experiment against {real or 'the'} test data."]
    features = results.told("extractor")
    if features:
        size, accuracy, weights = (results.told(name) for name in ("features", "accuracy", "weights"))
        known = [f"{spread(size)} features" if size else ""]
        known += [f"test accuracy {float(str(accuracy[0])):.3f}" if accuracy else ""]
        known += [f"weights {weights[0]}" if weights else ""]
        inside = ", ".join(filter(None, known))
        parts.append(f"Features: {features[0]}{f' ({inside})' if inside else ''}.")
    return " ".join(parts)


def spread(values: Sequence[object]) -> str:
    """One number, or the smallest to the largest."""
    found = sorted({int(float(str(value))) for value in values})
    return "" if not found else str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"
