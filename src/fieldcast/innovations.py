"""The rule for an observation that is probably wrong: it lies too far from what was expected of it."""

MAX_INNOVATION = 5.0  # largest innovation that is accepted, in standard deviations of the expected innovation
