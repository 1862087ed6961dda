function sort(button) {
  const th = button.parentElement, table = th.closest("table"), body = table.tBodies[0];
  const place = [...th.parentElement.children].indexOf(th);
  const up = th.getAttribute("aria-sort") !== "ascending";
  const empty = /^[\u2013 ]*$/;
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
function animate(figure) {
  const pictures = figure.querySelectorAll("img"), labels = figure.dataset.labels.split("|");
  const [button, slider, output] = ["button", "input", "output"].map(name => figure.querySelector(name));
  let clock = null;
  const show = () => { pictures.forEach((picture, place) => { picture.hidden = place !== Number(slider.value); });
    output.textContent = labels[slider.value]; };
  const stop = () => { clearInterval(clock); clock = null; button.textContent = "Play"; };
  const step = () => { slider.value = (Number(slider.value) + 1) % pictures.length; show(); };
  button.addEventListener("click", () => { if (clock) return stop();
    clock = setInterval(step, Number(figure.dataset.pause)); button.textContent = "Pause"; step(); });
  slider.addEventListener("input", () => { stop(); show(); });
}
document.querySelectorAll("figure.animation").forEach(animate);
let closed = [];
addEventListener("beforeprint", () => { closed = [...document.querySelectorAll("details:not([open])")];
  closed.forEach(part => { part.open = true; }); });
addEventListener("afterprint", () => closed.forEach(part => { part.open = false; }));
