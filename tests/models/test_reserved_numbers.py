"""Reserved numbers of random streams are out of reach of the numbers that count from 0 under the same key."""

import ast
from pathlib import Path

from fieldcast import models
from fieldcast.inference.stations.held_out import FOLDS
from fieldcast.models import emos, random_streams

MODULES = sorted(Path(models.__file__).parent.rglob("*.py"))


def constants(tree: ast.Module) -> dict[str, int]:
    """Whole numbers that a module names: `A = 3` and `A, B = range(2)`."""
    values: dict[str, int] = {}
    for node in tree.body:
        if not isinstance(node, ast.Assign):
            continue
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Call):
            values |= {
                name.id: number for number, name in enumerate(target.elts) if isinstance(name, ast.Name)
            }
        elif (
            isinstance(target, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, int)
        ):
            values[target.id] = value.value
    return values


def forks(path: Path) -> set[int]:
    """Numbers of the forks of a module, where they are constants."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = constants(tree) | vars(random_streams)
    arguments = [
        node.args[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "fork"
    ]
    numbers = {argument.value for argument in arguments if isinstance(argument, ast.Constant)}
    return numbers | {
        named[argument.id]
        for argument in arguments
        if isinstance(argument, ast.Name) and argument.id in named
    }


def test_no_forecaster_forks_the_stream_of_its_calibration() -> None:
    number = random_streams.CALIBRATION_STREAM
    assert number == emos.STREAM
    assert [path.stem for path in MODULES if number in forks(path)] == ["emos"]
    assert max(max(forks(path), default=0) for path in MODULES if path.stem != "emos") < number


def test_errors_of_held_out_readings_have_a_step_beyond_the_turns() -> None:
    assert random_streams.HELD_OUT_ERRORS_STEP not in range(FOLDS)


def test_fixed_stations_have_the_datum_of_no_field() -> None:
    assert random_streams.STATION_DATUM < 0


def test_the_streams_of_an_update_are_distinct() -> None:
    assert random_streams.UPDATE_STREAM != random_streams.RARE_EVENTS_STREAM
