"""A change of the code of a model class is noticed; a change of comments, docstrings and layout is not."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldcast.encoding.checkpoint import model_digest
from fieldcast.lineage import differences
from fieldcast.models import source_code
from fieldcast.models.source_code import code_in, code_of

ORIGINAL = '''
"""A model."""


class Mine:
    """x = c."""

    def sample(self, c):
        return c  # the context
'''
CONFIG = {"type": "mine:model.Mine", "parts": {"a": {"type": "vae.VAE"}}}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, str]]:
    """Write the module of the class, and return the digests of the configuration."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").touch()

    def to_file(text: str) -> dict[str, str]:
        (tmp_path / "mine" / "model.py").write_text(text)
        return code_of(CONFIG)

    return to_file


def test_modules_of_all_parts_have_a_digest(write: Callable[[str], dict[str, str]]) -> None:
    assert write(ORIGINAL).keys() == {"mine:model", f"vae of {source_code.version()}"}
    assert code_of({"type": "no_such_package:model.Mine"}) == {}


@pytest.mark.parametrize("described", [("mine",), ("fieldcast.models.gaps", "mine.model")])
def test_packages_and_other_modules_have_a_digest_of_their_code(
    described: tuple[str, ...], write: Callable[[str], dict[str, str]]
) -> None:
    def digest(text: str) -> str:
        write(text)
        return code_in(*described)

    assert digest(ORIGINAL) == digest(ORIGINAL.replace("x = c", "x equals c"))
    assert digest(ORIGINAL) != digest(ORIGINAL.replace("return c", "return 2 * c"))


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("return c", "return 2 * c", True),
        ("# the context", "# what is observed", False),
        ("x = c", "x equals c", False),
        ("(self, c):", "(\n        self,\n        c,\n    ):", False),
    ],
)
def test_only_code_counts(
    before: str, after: str, changes: bool, write: Callable[[str], dict[str, str]]
) -> None:
    original, edited = write(ORIGINAL), write(ORIGINAL.replace(before, after))
    assert bool(list(differences({"code": original}, {"code": edited}))) is changes
    header = {"weights": "0123"}
    digests = {model_digest({**header, "code": code}, CONFIG) for code in (original, edited)}
    assert len(digests) == 1 + changes  # draws from equal weights


def test_the_digest_does_not_depend_on_the_version_of_python(tmp_path: Path) -> None:
    """The value is that of 3.11, 3.12 and 3.13; 3.12.1 unparses this string with other quotes, and parses its format
    with an empty string at the end."""
    path = tmp_path / "model.py"
    path.write_text(
        ORIGINAL + "\n    def say(self, names, width):\n        return f\"{', '.join(names):{width}}\"\n"
    )
    assert source_code.digest(path) == "97dbc8a04aca"


def test_code_of_another_version_of_fieldcast_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = code_of({"type": "vae.VAE"})
    monkeypatch.setattr(source_code, "digest", lambda path: "edited")
    assert list(differences({"code": stored}, {"code": code_of({"type": "vae.VAE"})}))
    monkeypatch.setattr(source_code, "version", lambda: "another")
    assert not list(differences({"code": stored}, {"code": code_of({"type": "vae.VAE"})}))
    assert not list(differences({}, {"code": stored}))  # a training from before code was recorded


def test_a_file_that_python_cannot_read_has_no_classes(
    write: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    write(ORIGINAL)
    (tmp_path / "mine" / "broken.py").write_text("class Half(\n")
    assert source_code.classes("mine") == ["mine:model.Mine"]
