"""The stretch of a record that a figure shows."""

import torch

from fieldcast.inference.gaps.trials import most_hidden_stretch


def test_the_stretch_shown_has_most_hidden_beside_most_observed_values() -> None:
    hidden, observed = torch.zeros(2, 40, 3, dtype=torch.bool)
    hidden[5:15, 0], hidden[20:26, 2], observed[26:30, 2] = True, True, True
    assert most_hidden_stretch(hidden, observed, 10) == (20, 2)
    assert most_hidden_stretch(hidden, observed, 40) == (0, 2)
