"""Digests of the planet of the documented tables, by which a run recognises whether it uses the same weather."""

from collections.abc import Mapping

import xarray as xr

from fieldcast.fields.planet.options import PlanetOptions
from fieldcast.lineage import digest

SEED = 0
# for the default options and SEED; `fields` is the digest in every table. docs/data.md lists both
DIGESTS = {"states": "aa0b19cd791d", "fields": "ad99ed066a42"}


def state_digest(q: xr.DataArray) -> str:
    """Digest of the states."""
    return digest(q.values.astype("<f4").tobytes())


def difference(options: PlanetOptions, seed: int, digests: Mapping[str, str | None]) -> str | None:
    """Warning that a planet should equal the documented one but does not; None if it does, or has other options."""
    if (options, seed) != (PlanetOptions(), SEED) or digests == DIGESTS:
        return None
    pairs = [f"{name} {digests.get(name)} instead of {documented}" for name, documented in DIGESTS.items()]
    return (
        "This simulated planet differs from that of the README's tables, although its options and seed are the same "
        f"(digests: {', '.join(pairs)}), so scores will differ from those printed there: see docs/data.md."
    )
