"""The pictures of docs/pictures.md are of the run whose table stands above them."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from PIL import Image

from fieldcast import lineage

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def program() -> ModuleType:
    """docs/make_figures.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("make_figures", ROOT / "docs/make_figures.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_figures"] = module
    spec.loader.exec_module(module)
    return module


def test_every_picture_carries_the_digest_of_the_table_above_it(program: ModuleType) -> None:
    digests = program.tables_of_pictures((ROOT / "docs/pictures.md").read_text())
    assert digests
    for name, digest in digests.items():
        with Image.open(ROOT / "docs/images" / name) as picture:
            assert picture.text["table"] == digest, f"{name} is of another run than the table above it"
        assert (ROOT / "docs/images" / name).stat().st_size <= program.MAX_BYTES


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two figures and a leaderboard."""
    reporting = tmp_path / "run/08_reporting"
    (reporting / "figures/sample").mkdir(parents=True)
    for name in ("priors", "samples"):
        Image.new("RGB", (1800, 400), "red").save(reporting / f"figures/sample/{name}.png")
    board = pd.DataFrame({"experiment": ["vae", "flow"], "score": ["fid", "fid"], "value": [4.0, 0.5]})
    board.to_csv(reporting / "leaderboard_sample.csv", index=False)
    return tmp_path / "run"


def test_the_command_writes_pictures_that_belong_to_their_table_until_it_changes(
    program: ModuleType, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "pictures.md"
    page.write_text("# Pictures\n\nIntroduction.\n\n## Old\n")
    monkeypatch.setattr(program, "PAGE", page)
    monkeypatch.setattr(program, "IMAGES", tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_figures", "--run", str(run), "kedro run --env digits"])
    program.main()
    text = page.read_text()
    assert text.startswith(
        "# Pictures\n\nIntroduction.\n\n## Samples\n\n```bash\nkedro run --env digits\n```\n\n| experiment | fid |"
    )
    digests = program.tables_of_pictures(text)
    assert sorted(digests) == ["sample_priors.png", "sample_samples.png"]
    with Image.open(tmp_path / "sample_priors.png") as picture:
        assert (
            picture.text["table"]
            == digests["sample_priors.png"]
            == lineage.digest(program.scores(run, "sample"))
        )
        assert picture.width == program.MAX_WIDTH
    later = program.tables_of_pictures(text.replace("0.5", "0.6"))
    assert later["sample_priors.png"] != digests["sample_priors.png"]


def test_a_folder_without_results_is_refused(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["make_figures", "--run", str(tmp_path), "kedro run"])
    with pytest.raises(SystemExit, match="no results in"):
        program.main()
