"""Spectra of samples: ratios to real states, without waves that these hardly have."""

from __future__ import annotations

import numpy as np

from fieldcast.figures.sample_spectra import sample_spectra


def test_lines_are_ratios_to_real_states(sampled):
    stored = {name: sampled(images=False)["diagnostics"][name] for name in ("vae", "ddpm")}
    panels = [axes for axes in sample_spectra(stored).axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == ["z", "t850"]
    for axes in panels:
        for line, ratio in zip(axes.lines, (0.5, 0.9), strict=False):
            np.testing.assert_allclose(line.get_xdata(), [8000.0, 4000.0, 2667.0])
            np.testing.assert_allclose(line.get_ydata(), ratio)
        assert axes.xaxis_inverted()
