// The lineage: boxes and edges at the places that the page was made with.
const BOX = { width: 190, height: 30, column: 260, row: 40, margin: 14 };

function startLineage() {
  const { views } = page.data;
  const place = find("graph");
  place.replaceChildren();
  if (!views.length) {
    place.append(make("p", { class: "quiet" }, "The project of this run is not known."));
    return;
  }
  find("lineage-tools").hidden = false;
  const search = find("lineage-search");
  search.value = chosen.search;
  search.oninput = () => { chosen.search = search.value; lookUp(false); };
  search.onkeydown = (event) => { if (event.key === "Enter") { event.preventDefault(); lookUp(true); } };
  const tools = find("lineage-tools");
  tools.onclick = (event) => {
    const wanted = event.target instanceof Element && event.target.getAttribute("data-scale");
    if (wanted) rescale(wanted === "fit" ? null : chosen.scale * (wanted === "in" ? 1.3 : 1 / 1.3));
  };
  showView(views.some((view) => view.key === chosen.view) ? chosen.view : views[0].key);
}

const currentView = () => page.data.views.find((view) => view.key === chosen.view);

function showView(key, focus = false) {
  const isNew = key !== chosen.view;
  chosen.view = key;
  hideTip();
  const view = currentView();
  const top = page.data.views.filter((each) => !each.key.startsWith("folder-"));
  const isInside = key.startsWith("folder-");
  const buttons = top.map((each) => viewButton(each.key, each.title, each.key === key));
  if (isInside) buttons.push(viewButton(key, view.title, true));
  find("lineage-views").replaceChildren(...(top.length > 1 || isInside ? buttons : []));
  find("graph").replaceChildren(make("div", { class: "map" }, drawView(view)));
  watchLineage(view);
  rescale(isNew ? null : chosen.scale);
  lookUp(false);
  if (focus) find("graph").querySelector(".box")?.focus();
}

function viewButton(key, title, isCurrent) {
  const button = make("button", { type: "button", "aria-pressed": String(isCurrent) }, bidi(title));
  button.addEventListener("click", () => showView(key));
  return button;
}

const x = (column) => BOX.margin + column * BOX.column;
const y = (row) => BOX.margin + row * BOX.row;

function drawView(view) {
  const width = 2 * BOX.margin + (view.columns - 1) * BOX.column + BOX.width;
  const height = 2 * BOX.margin + (view.rows - 1) * BOX.row + BOX.height;
  const svg = draw("svg", {
    viewBox: `0 0 ${width} ${height}`, "data-width": width, "data-height": height, role: "group",
    "aria-label": `Lineage, ${view.title}: ${view.items.length} items. Arrow keys move along edges, Enter shows one.`,
  });
  const edges = view.edges.map(([from, to, ...rows]) => draw("path", { class: "edge", d: route(view.items[from], view.items[to], rows), "data-from": from, "data-to": to }));
  const boxes = view.items.map((item, index) => drawItem(item, index));
  if (boxes.length) boxes[0].setAttribute("tabindex", "0");
  svg.append(...edges, ...boxes);
  return svg;
}

function route(from, to, rows) {
  const middle = BOX.height / 2;
  let [left, at] = [x(from[0]) + BOX.width, y(from[1]) + middle];
  const [right, end] = [x(to[0]), y(to[1]) + middle];
  if (right <= left) {
    // it closes a cycle of folders
    const low = Math.max(at, end) + BOX.row / 2;
    return `M${left} ${at}C${left + 40} ${at} ${left + 40} ${low} ${left} ${low}L${right} ${low}C${right - 40} ${low} ${right - 40} ${end} ${right} ${end}`;
  }
  let path = `M${left} ${at}`;
  rows.forEach((row, number) => {
    const [next, level] = [x(from[0] + number + 1), y(row) + middle];
    const half = (left + next) / 2;
    path += `C${half} ${at} ${half} ${level} ${next} ${level}L${next + BOX.width} ${level}`;
    [left, at] = [next + BOX.width, level];
  });
  const half = (left + right) / 2;
  return `${path}C${half} ${at} ${half} ${end} ${right} ${end}`;
}

const shorten = (text, limit) => ([...text].length > limit ? `${[...text].slice(0, limit - 1).join("")}…` : text);

function worst(numbers) {
  const order = ["bad", "warn", "active", "skipped", "good", "idle", "unknown"];
  return numbers.map((number) => outcome(page.nodes[number])).sort((a, b) => order.indexOf(a) - order.indexOf(b))[0];
}

function drawItem(item, index) {
  const [column, row, kind, subject, extra] = item;
  const box = { width: BOX.width, height: BOX.height, rx: 5 };
  const parts = [draw("rect", box)];
  const label = (text, sub) => {
    parts.push(draw("text", { x: 9, y: sub ? 13 : 19, direction: "ltr", "unicode-bidi": "plaintext" }, shorten(text, 27)));
    if (sub) parts.push(draw("text", { x: 9, y: 25, class: "sub" }, sub));
  };
  let [name, words, shape] = ["", "", "unknown"];
  if (kind === 0) {
    const node = page.nodes[subject];
    [name, shape] = [node.name, outcome(node)];
    words = tipOf(subject).join(", ");
    label(name, node.type === "model" ? null : node.type.replace("_", " "));
    if (node.tests) parts.push(draw("circle", { class: node.tests, cx: BOX.width - 2, cy: 2, r: 5 }));
  } else if (kind === 1) {
    const [title, numbers] = page.data.groups[subject];
    [name, shape] = [title, worst(numbers)];
    const counts = ["bad", "warn", "skipped"].map((each) => [each, numbers.filter((number) => outcome(page.nodes[number]) === each).length]).filter(([, count]) => count);
    const texts = { bad: "failed", warn: "warned", skipped: "skipped" };
    const sub = [`${numbers.length} node${numbers.length === 1 ? "" : "s"}`, ...counts.map(([each, count]) => `${count} ${texts[each]}`)].join(" · ");
    words = `${name}, ${sub}`;
    label(name, sub);
  } else {
    [name, shape] = [subject, "table"];
    const rows = extra === null ? "loaded by dlt" : `${extra.toLocaleString("en")} rows loaded`;
    words = `table ${name}, ${rows}`;
    label(name, rows);
  }
  return draw("g", {
    class: `box ${shape}`, transform: `translate(${x(column)} ${y(row)})`, tabindex: "-1", role: "button",
    "aria-label": words, "data-item": index, "data-node": kind === 0 ? subject : null,
  }, ...parts);
}

function watchLineage(view) {
  const map = find("graph").firstElementChild;
  const boxes = [...map.querySelectorAll(".box")];
  const edges = [...map.querySelectorAll(".edge")];
  const before = view.items.map(() => []);
  const after = view.items.map(() => []);
  view.edges.forEach(([from, to]) => { after[from].push(to); before[to].push(from); });
  const boxOf = (target) => (target instanceof Element ? target.closest(".box") : null);
  const related = (start) => {
    const found = new Set([start]);
    for (const next of [before, after]) {
      const waiting = [start];
      while (waiting.length) for (const each of next[waiting.pop()]) if (!found.has(each)) { found.add(each); waiting.push(each); }
    }
    return found;
  };
  const light = (start) => {
    const found = related(start);
    boxes.forEach((box, index) => box.classList.toggle("lit", found.has(index)));
    edges.forEach((edge) => edge.classList.toggle("lit", found.has(+edge.dataset.from) && found.has(+edge.dataset.to)));
    map.classList.add("dimmed");
  };
  const open = (box) => {
    const [, , kind, subject] = view.items[+box.dataset.item];
    const inside = kind === 1 ? page.data.groups[subject][2] : null;
    if (kind === 0) openPanel(subject, box);
    else if (inside && page.data.views.some((each) => each.key === inside) && inside !== view.key) showView(inside, true);
  };
  let lit = -1;
  map.addEventListener("pointermove", (event) => {
    const box = boxOf(event.target);
    if (!box) { if (lit >= 0) { lit = -1; hideTip(); lookUp(false); } return; }
    showTip(box.getAttribute("aria-label").split(", "), event.clientX, event.clientY);
    if (lit !== +box.dataset.item) { lit = +box.dataset.item; light(lit); }
  });
  map.addEventListener("pointerleave", () => { lit = -1; hideTip(); lookUp(false); });
  map.addEventListener("click", (event) => { const box = boxOf(event.target); if (box) open(box); });
  map.addEventListener("focusin", (event) => {
    const box = boxOf(event.target);
    if (!box) return;
    boxes.forEach((each) => each.setAttribute("tabindex", each === box ? "0" : "-1"));
    if (box.matches(":focus-visible")) light(+box.dataset.item);
  });
  map.addEventListener("keydown", (event) => {
    const box = boxOf(event.target);
    if (!box) return;
    const index = +box.dataset.item;
    const column = view.items.map((item, i) => [item, i]).filter(([item]) => item[0] === view.items[index][0]).sort((a, b) => a[0][1] - b[0][1]).map(([, i]) => i);
    const at = column.indexOf(index);
    const next = { ArrowLeft: before[index][0], ArrowRight: after[index][0], ArrowUp: column[at - 1], ArrowDown: column[at + 1] };
    if (event.key === "Enter" || event.key === " ") open(box);
    else if (!(event.key in next)) return;
    else if (next[event.key] !== undefined) boxes[next[event.key]].focus();
    event.preventDefault();
  });
}

function rescale(scale) {
  const map = find("graph").firstElementChild;
  const svg = map && map.querySelector("svg");
  if (!svg) return;
  const [width, height] = [+svg.dataset.width, +svg.dataset.height];
  const fit = Math.max(0.5, Math.min(1, (map.clientWidth - 4) / width));
  chosen.scale = Math.min(3, Math.max(0.1, scale === null ? fit : scale));
  svg.setAttribute("width", Math.round(width * chosen.scale));
  svg.setAttribute("height", Math.round(height * chosen.scale));
}

// Dims what does not match the search, or nothing, and counts what does.
function lookUp(goes) {
  const map = find("graph").firstElementChild;
  const view = currentView();
  if (!map || !view) return;
  const wanted = chosen.search.trim().toLowerCase();
  const boxes = [...map.querySelectorAll(".box")];
  const matches = boxes.filter((box) => {
    const [, , kind, subject] = view.items[+box.dataset.item];
    const names = kind === 1 ? [page.data.groups[subject][0], ...page.data.groups[subject][1].map((number) => page.nodes[number].name)] : [kind === 0 ? page.nodes[subject].name : subject];
    const isMatch = wanted !== "" && names.some((name) => name.toLowerCase().includes(wanted));
    box.classList.toggle("lit", isMatch);
    return isMatch;
  });
  for (const edge of map.querySelectorAll(".edge.lit")) edge.classList.remove("lit");
  map.classList.toggle("dimmed", wanted !== "");
  find("lineage-found").textContent = wanted === "" ? "" : `${matches.length} found`;
  if (goes && matches.length) {
    matches[0].scrollIntoView({ block: "center", inline: "center" });
    matches[0].focus({ preventScroll: true });
  }
}
