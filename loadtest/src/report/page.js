// Reads values out under the pointer. A mistake in here is left where a test finds it.
window.addEventListener("error", (event) => { document.documentElement.dataset.error = event.message; });
const numbers = JSON.parse(document.getElementById("numbers").textContent);
const LEFT = 92, RIGHT = 24, WIDTH = 960;
for (const section of document.querySelectorAll("section.run")) {
  const run = numbers.runs[Number(section.dataset.run)];
  const figure = section.querySelector(".figure");
  const hair = figure.appendChild(Object.assign(document.createElement("div"), { className: "hair" }));
  const tip = figure.appendChild(Object.assign(document.createElement("div"), { className: "tip" }));
  const show = (clientX) => {
    const box = figure.querySelector("svg").getBoundingClientRect();
    const x = (clientX - box.left) * WIDTH / box.width;
    const at = (x - LEFT) / (WIDTH - LEFT - RIGHT) * run.span_ms;
    const inside = at >= 0 && at <= run.span_ms && run.balances.length > 0;
    hair.style.display = tip.style.display = inside ? "block" : "none";
    if (!inside) return "";
    const near = run.balances.reduce((a, b) => Math.abs(b.at_ms - at) < Math.abs(a.at_ms - at) ? b : a);
    const lines = [`${(near.at_ms / 1000).toFixed(1)} s`, `ledger  ${near.ledger} ${run.currency}`];
    if (Number(run.summary.reserved_most) > 0) lines.push(`reserved  ${near.reserved}`);
    run.gateways.forEach((name, i) => lines.push(`${name}  ${near.gateways[i] ?? "away"}`));
    tip.textContent = lines.join("\n");
    const left = clientX - figure.getBoundingClientRect().left + figure.scrollLeft;
    hair.style.left = `${left}px`;
    tip.style.left = x > WIDTH * 0.7 ? `${left - tip.offsetWidth - 12}px` : `${left + 12}px`;
    return tip.textContent;
  };
  const hide = () => { hair.style.display = tip.style.display = "none"; };
  figure.addEventListener("pointermove", (event) => show(event.clientX));
  figure.addEventListener("pointerleave", hide);
  // Once at the start, so that a page whose script cannot read its numbers is noticed without a pointer.
  const box = figure.querySelector("svg").getBoundingClientRect();
  if (show(box.left + box.width / 2)) section.dataset.read = "yes";
  hide();
}
document.documentElement.dataset.script = "done";
