"""Templates escape what they print, leave out what is empty, and explain a score once."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from jinja2 import DictLoader, UndefinedError

from fieldcast.experiments import Description
from fieldcast.report import rendering
from fieldcast.report.rendering import TEMPLATES, anchor, render, writers
from fieldcast.report.tables import Cell, Table


@pytest.fixture
def sections(monkeypatch):
    """Sections of a template that is given as text."""

    def made(text: str, **context):
        overlay = TEMPLATES.overlay()
        overlay.loader = DictLoader(
            {
                name: TEMPLATES.loader.get_source(TEMPLATES, name)[0]
                for name in ("macros.html.j2", "shared.html.j2")
            }
            | {"t.html.j2": text}
        )
        monkeypatch.setattr(rendering, "TEMPLATES", overlay)
        return render("t", {"a": Description(label="A & <b>", description="what `a` is")}, **context)

    return made


def test_a_section_without_content_is_left_out(sections):
    text = (
        "{% call section('Full & <b>') %} {{ x }} {% endcall %}{% call section('Empty') %}\n \n{% endcall %}"
    )
    (item,) = sections(text, x="<i>")
    assert (item.anchor, item.title, item.body) == ("t-full-b", "Full & <b>", "&lt;i&gt;")


def test_an_undefined_name_in_a_template_is_an_error(sections):
    with pytest.raises(UndefinedError):
        sections("{% call section('S') %}{{ nothing }}{% endcall %}")


def test_names_are_labels_with_their_description(sections):
    (item,) = sections("{% call section('S') %}{{ names(['a']) }}{% endcall %}")
    assert item.body == '<span class="experiment" title="what a is">A &amp; &lt;b&gt;</span>'


def test_a_score_is_explained_where_it_is_first_used():
    explain = writers({})["explain"]
    first = explain("crps", "fid", "no_score")
    assert first.startswith("Fair CRPS: continuous ranked probability score,") and "FID: " in first
    assert explain("crps") == ""


def test_cells_are_sorted_by_their_number_and_escaped(sections):
    records = [
        [Cell("<a>", title='"'), Cell("1 000", 1000.0)],
        [Cell("b"), Cell("–", math.nan)],
        [Cell("c"), Cell("0.5", 0.5, "best", (("0.4 to 0.6", ""), ("better", "better")))],
    ]
    text = "{% from 'macros.html.j2' import table %}{% call section('S') %}{{ table(t, '<c>') }}{% endcall %}"
    (item,) = sections(text, t=Table(["name", "<v>"], records))
    assert '<th scope="row" title="&#34;">&lt;a&gt;</th><td data-order="1000.0">1 000</td>' in item.body
    assert "<td>–</td>" in item.body
    assert (
        '<td data-order="0.5" class="best"><span>0.5</span><small>0.4 to 0.6</small>'
        '<small class="better">better</small></td>'
    ) in item.body
    assert "<caption>&lt;c&gt;</caption>" in item.body and "&lt;v&gt;</button>" in item.body
    assert sections(text, t=Table(["name"], [])) == []


def test_pictures_are_inside_the_page(sections):
    text = "{% from 'macros.html.j2' import picture %}{% call section('S') %}{{ picture(f, 'x', '<t>') }}{% endcall %}"
    (item,) = sections(text, f={"x": SimpleNamespace(png=b"png", inches=2.0)})
    assert item.body == (
        '<figure><img alt="&lt;t&gt;" style="width:192px" src="data:image/png;base64,cG5n"></figure>'
    )
    assert sections(text, f={}) == []


def test_anchors_are_plain():
    assert anchor("Reconstruct", "Scores & <k>") == "reconstruct-scores-k"
