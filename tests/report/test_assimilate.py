"""The part of the page on cycles: what it adds to that on reconstructions, and in which order."""

from __future__ import annotations

import pandas as pd
import pytest

from fieldcast.report import Assimilate


@pytest.fixture(scope="module")
def part(results) -> Assimilate:
    """Analyses with the scores of the reconstructions, backgrounds twice as bad, and innovations."""
    analyses = results.leaderboard.assign(state="analysis")
    exact = analyses[analyses["experiment"] == "mine"].assign(experiment="exact", value=0.1)
    backgrounds = results.leaderboard.assign(state="background", value=2 * results.leaderboard["value"])
    innovations = backgrounds.query("score == 'crps' and cells == 'unobserved'").assign(
        cells="observed", score="chi_squared", value=1.23
    )
    experiments = {**results.experiments, "exact": {"about": {"role": "bound", "family": "bound"}}}
    stored = {name: stored.assign_coords(step=("time", [1])) for name, stored in results.examples.items()}
    return Assimilate(
        leaderboard=pd.concat([analyses, exact, backgrounds, innovations]),
        experiments=experiments,
        observations=results.observations,
        film={**stored, "exact": stored["mine"]},
    )


def test_backgrounds_and_innovations_stand_before_the_files(part) -> None:
    sections = {section.title: section.body for section in part.sections(part.pictures())}
    titles = list(sections)
    assert titles[-1] == "Files"
    assert titles.index("All scores") < titles.index("The first steps") < titles.index("Backgrounds")
    assert titles.index("Backgrounds") < titles.index("Innovations") < titles.index("Files")
    assert "1.2" in sections["Innovations"] and "<img" in sections["The first steps"]


def test_the_film_is_of_the_reference_the_best_and_the_bound(part) -> None:
    assert list(part.films_to_draw()) == ["optimal_interpolation", "mine", "exact"]
    assert list(Assimilate(film={}).films_to_draw()) == []
