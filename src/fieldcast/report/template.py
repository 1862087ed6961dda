"""The page around the sections: no resource from outside, light, readable on a laptop and on paper."""

from string import Template

STYLE = """
:root { --ink: #24292e; --soft: #5b646d; --line: #dde2e6; --paper: #fff; --shade: #f5f7f9;
  --link: #14598c; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
  color: var(--ink); background: var(--paper); display: grid; grid-template-columns: 214px minmax(0, 1fr); }
nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 22px 14px 22px 20px;
  font-size: 13px;
  border-right: 1px solid var(--line); background: var(--shade); }
nav b { display: block; margin: 14px 0 2px; } nav b:first-child { margin-top: 0; }
nav a { display: block; padding: 2px 0; color: var(--soft); text-decoration: none; }
nav a:hover, nav a:focus { color: var(--link); text-decoration: underline; }
main { padding: 22px 30px 60px; max-width: 1140px; }
h1 { font-size: 25px; margin: 0 0 2px; font-weight: 600; }
h2 { font-size: 21px; margin: 34px 0 6px; font-weight: 600; padding-bottom: 3px;
  border-bottom: 2px solid var(--line); }
h3 { font-size: 17px; margin: 30px 0 6px; font-weight: 600; }
h4 { font-size: 14px; margin: 16px 0 2px; font-weight: 600; }
section { scroll-margin-top: 10px; }
p { max-width: 88ch; margin: 6px 0 10px; } a { color: var(--link); }
p.lead { color: var(--soft); margin-top: 0; } p.note { color: var(--soft); font-size: 13px; }
p.missing { color: var(--soft); font-size: 13.5px; border-left: 3px solid #c9d0d6; padding-left: 10px; }
code { font: 12.5px/1.4 ui-monospace, "DejaVu Sans Mono", monospace; }
ul { max-width: 88ch; margin: 6px 0 12px; padding-left: 20px; } li { margin: 3px 0; }
.wide { overflow-x: auto; margin: 8px 0 14px; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding: 0 0 5px; max-width: 110ch; }
th, td { padding: 3px 12px 3px 8px; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; white-space: nowrap; }
thead th { border-bottom: 1.5px solid #9aa4ad; vertical-align: bottom; white-space: normal; }
th:first-child, .texts td, .texts th { text-align: left; } .texts td { white-space: normal; max-width: 60ch; }
tbody th { font-weight: 500; } tbody tr:hover { background: var(--shade); }
thead button { all: unset; cursor: pointer; font-weight: 600; }
thead button:focus-visible { outline: 2px solid var(--link); }
th[aria-sort=ascending] button::after { content: " \\25B4"; }
th[aria-sort=descending] button::after { content: " \\25BE"; }
td small { display: block; color: var(--soft); font-size: 11px; line-height: 1.35; }
td.best > span { font-weight: 700; border-bottom: 2px solid #24292e; }
td small.better { color: #00664a; font-weight: 600; } td small.worse { color: #a33c00; font-weight: 600; }
figure { margin: 10px 0 16px; } figure img { max-width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: 13px; max-width: 110ch; margin-top: 4px; }
.film img[hidden] { display: none; }
.film .controls { display: flex; gap: 12px; align-items: center; margin: 6px 0; font-size: 13px; }
.film input { width: min(420px, 50vw); } .film output { color: var(--soft); }
details { margin: 6px 0; border: 1px solid var(--line); border-radius: 4px; }
summary { cursor: pointer; padding: 5px 10px; font-size: 13.5px; background: var(--shade); }
details > div { padding: 4px 12px 8px; }
dl { font-size: 13.5px; margin: 10px 0; }
dl div { display: grid; grid-template-columns: 150px minmax(0, 1fr); gap: 12px; padding: 2px 0; }
dl.facts { columns: 2; column-gap: 34px; } dl.facts div { break-inside: avoid;
  grid-template-columns: 118px 1fr; }
dt { color: var(--soft); } dd { margin: 0; max-width: 88ch; overflow-wrap: anywhere; }
@media (max-width: 900px) { body { display: block; } nav { position: static; height: auto; border: 0; }
  main { padding: 16px; } }
@media print { body { display: block; font-size: 10pt; }
  nav { position: static; height: auto; border: 0; padding: 0; background: none; columns: 2; }
  main { padding: 0; max-width: none; } figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; } table { font-size: 8pt; } th, td { padding: 1px 5px; }
  .wide { overflow: visible; } .film .controls { display: none; } }
"""

SCRIPT = """
function sort(button) {
  const th = button.parentElement, table = th.closest("table"), body = table.tBodies[0];
  const place = [...th.parentElement.children].indexOf(th);
  const up = th.getAttribute("aria-sort") !== "ascending";
  const empty = /^[\\u2013 ]*$$/;
  const value = row => { const cell = row.children[place], order = cell.dataset.order;
    return order !== undefined ? Number(order) : empty.test(cell.textContent) ? null : cell.textContent; };
  const numbers = (a, b) => typeof a === "number" && typeof b === "number";
  const compare = (a, b) => a === null || b === null ? (a === null) - (b === null)
    : (up ? 1 : -1) * (numbers(a, b) ? a - b : String(a).localeCompare(String(b)));
  table.querySelectorAll("th[aria-sort]").forEach(other => other.removeAttribute("aria-sort"));
  th.setAttribute("aria-sort", up ? "ascending" : "descending");
  body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b))));
}
document.querySelectorAll("table.sortable thead button").forEach(button =>
  button.addEventListener("click", () => sort(button)));
function film(figure) {
  const pictures = figure.querySelectorAll("img"), labels = figure.dataset.labels.split("|");
  const [button, slider, output] = ["button", "input", "output"].map(name => figure.querySelector(name));
  let clock = null;
  const show = () => { pictures.forEach((one, place) => { one.hidden = place !== Number(slider.value); });
    output.textContent = labels[slider.value]; };
  const stop = () => { clearInterval(clock); clock = null; button.textContent = "Play"; };
  const step = () => { slider.value = (Number(slider.value) + 1) % pictures.length; show(); };
  button.addEventListener("click", () => { if (clock) return stop();
    clock = setInterval(step, Number(figure.dataset.pause)); button.textContent = "Pause"; step(); });
  slider.addEventListener("input", () => { stop(); show(); });
}
document.querySelectorAll("figure.film").forEach(film);
let closed = [];
addEventListener("beforeprint", () => { closed = [...document.querySelectorAll("details:not([open])")];
  closed.forEach(part => { part.open = true; }); });
addEventListener("afterprint", () => closed.forEach(part => { part.open = false; }));
"""

PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<link rel="icon" href="data:,">
<style>"""
    + STYLE
    + """</style>
</head>
<body>
<nav aria-label="Contents">$contents</nav>
<main>$body</main>
<script>"""
    + SCRIPT
    + """</script>
</body>
</html>
"""
)
