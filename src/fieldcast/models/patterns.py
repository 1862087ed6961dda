"""Names of the patterns of masks, which `masks` defines, and the smallest k: options need them without torch."""

from typing import Literal, get_args

Pattern = Literal["random", "regular", "stations", "swaths", "blocks"]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
MIN_K = 0.005  # smallest share k of observed cells
