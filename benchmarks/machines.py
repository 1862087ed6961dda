"""Check that the planet is the same on other machines: with other kernels, threads, vectors and last digits.

python -m benchmarks.machines [--days 200]

Each variant runs in a process of its own: the core types of OpenBLAS that this processor supports, NumPy without
AVX-512, two threads, which the simulation by itself does not use, and every table (Legendre, Fourier, orography,
forcing) multiplied at random by 1 + 2^-52 or 1 - 2^-52, as another maths library or another processor might compute it.
For each variant it prints the number of threads that computed the days, the digests of the states q and of the
fields, and the expected number of flips: of values that are rounded to another multiple than in the first variant.
That is the sum of |difference| / step, before the rounding, of the last day, times the number of days. Without --days
it simulates the planet of the demo, whose digests docs/data.md lists. The exit code is 1 if any two digests differ.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import threadpoolctl

from fieldcast.fields.ingest import digest
from fieldcast.fields.planet.dynamics import Day, Planet, State
from fieldcast.fields.planet.options import FIELD_STEP, STATE_STEP, PlanetOptions
from fieldcast.fields.planet.sphere import Sphere
from fieldcast.fields.planet.weather import simulate, state_digest, weather

FEWER_VECTORS = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"
VARIANTS: dict[str, dict[str, str]] = {
    "this machine": {},
    "two threads": {"OPENBLAS_NUM_THREADS": "2"},
    "SkylakeX": {"OPENBLAS_CORETYPE": "SkylakeX"},
    # Zen has the kernels of Haswell
    "Haswell, NumPy too": {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": FEWER_VECTORS},
    "Prescott": {"OPENBLAS_CORETYPE": "Prescott"},
    "other tables": {"OTHER_TABLES": "yes"},
}


def disturb(kind: type[Any], rng: np.random.Generator) -> None:
    """Multiply every table of the kind's instances by 1 + 2^-52 or 1 - 2^-52, each number at random."""
    build = kind.__init__

    def disturbed(self: Any, *arguments: Any, **keywords: Any) -> None:
        build(self, *arguments, **keywords)
        for name, table in vars(self).items():
            if isinstance(table, np.ndarray) and name not in ("longitude", "latitude"):
                vars(self)[name] = table * (1 + 2.0**-52 * rng.choice([-1, 1], table.shape))

    kind.__init__ = disturbed


def watch_threads() -> list[int]:
    """Note the threads of BLAS on the first day that is computed from now on."""
    threads: list[int] = []
    next_day = Planet.next_day

    def watched(self: Planet, q: State, day: Day) -> State:
        if not threads:
            threads.append(blas()["num_threads"])
        return next_day(self, q, day)

    Planet.next_day = watched  # type: ignore[method-assign]
    return threads


def blas() -> dict[str, Any]:
    """Kernels and threads of the library that NumPy multiplies with."""
    return next((pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"), {})


def simulated(days: int | None, file: str) -> None:
    """Print the digests of one variant; write its last day, a day later before rounding, to a file."""
    if os.environ["OPENBLAS_NUM_THREADS"] != "1":
        patch.object(
            threadpoolctl.ThreadpoolController, "limit", lambda self, **limits: nullcontext()
        ).start()
    threads = watch_threads()
    if "OTHER_TABLES" in os.environ:
        rng = np.random.default_rng(1)
        disturb(Sphere, rng)
        disturb(Planet, rng)
    options = PlanetOptions() if days is None else PlanetOptions(years=days / 365, spin_up=0)
    data = simulate(options, seed=0)
    planet, last = Planet(options), data["q"].values[-1].astype(np.float64)
    fields = weather(planet, options.grid(), last)
    np.savez(file, q=planet.next_day(last, options.days - 1), fields=np.stack(list(fields.values())))
    weather_fields = data.drop_dims("m").assign_coords(segment=("time", np.zeros(options.days, int)))
    result = {
        "kernels": blas().get("architecture", ""),
        "threads": threads[0],
        "days": options.days,
        "q": state_digest(data["q"]),
        "fields": digest(weather_fields),
    }
    print(json.dumps(result))


def started(name: str, days: int | None, folder: Path) -> dict[str, Any] | None:
    """Result that a variant prints; None where the processor cannot run it."""
    command = [sys.executable, "-m", "benchmarks.machines", "--variant", str(folder / f"{name}.npz")]
    command += [] if days is None else ["--days", str(days)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **VARIANTS[name]}
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if child.returncode == -signal.SIGILL:
        return None
    if child.returncode:
        raise RuntimeError(f"{name}: {child.stderr}")
    return json.loads(child.stdout)


def compared(days: int | None) -> bool:
    """Run all variants, print what each gives, and say whether they agree."""
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(2) as pool:
        folder = Path(temporary)
        variants = [name for name in VARIANTS if name != blas().get("architecture")]  # not twice
        ran = dict(zip(variants, pool.map(lambda name: started(name, days, folder), variants), strict=True))
        results = {name: result for name, result in ran.items() if result}
        print(
            f"{'variant':24}{'kernels':12}{'threads':9}{'states':14}{'fields':14}expected flips of states and of fields"
        )
        first = np.load(folder / f"{next(iter(results))}.npz")
        for name, result in results.items():
            other = np.load(folder / f"{name}.npz")
            flips = {
                key: result["days"] * abs(other[key] - first[key]).sum() / step
                for key, step in (("q", STATE_STEP), ("fields", FIELD_STEP))
            }
            print(
                f"{name:24}{result['kernels']:12}{result['threads']:<9}{result['q']:14}{result['fields']:14}"
                f"{flips['q']:.1e}  {flips['fields']:.1e}"
            )
    return len({(result["q"], result["fields"]) for result in results.values()}) == 1


def main() -> None:
    """One variant, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int)
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        simulated(arguments.days, arguments.variant)
    else:
        sys.exit(0 if compared(arguments.days) else 1)


if __name__ == "__main__":
    main()
