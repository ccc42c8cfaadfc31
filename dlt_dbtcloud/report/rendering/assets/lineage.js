// The lineage: boxes and edges at the places that the page was made with.
const BOX = { width: 0, narrowest: 178, widest: 240, height: 30, gap: 44, row: 39, margin: 14 };
// the size below which labels cannot be read
const SMALLEST = 0.8;

function startLineage() {
  const { views } = page.data;
  const place = find("graph");
  place.replaceChildren();
  if (!views.length) {
    place.append(make("p", { class: "quiet" }, "The project of this run is not known."));
    return;
  }
  find("lineage-tools").hidden = find("lineage-legend").hidden = false;
  find("lineage-note").textContent = page.data.note;
  const search = find("lineage-search");
  search.value = chosen.search;
  search.oninput = () => { chosen.search = search.value; chosen.match = 0; lookUp(false); };
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
  watchMap(find("graph").firstElementChild);
  rescale(isNew ? null : chosen.scale);
  lookUp(false);
  const worst = find("graph").querySelector(".box.bad");
  if (isNew && worst) center(worst);
  if (focus) find("graph").querySelector(".box")?.focus();
}

function viewButton(key, title, isCurrent) {
  const button = make("button", { type: "button", "aria-pressed": String(isCurrent) }, bidi(title));
  button.addEventListener("click", () => showView(key));
  return button;
}

const x = (column) => BOX.margin + column * (BOX.width + BOX.gap);
const y = (row) => BOX.margin + row * BOX.row;

function drawView(view) {
  // boxes are wider if there is room
  const room = (find("graph").clientWidth - 2 * BOX.margin - 4 + BOX.gap) / view.columns - BOX.gap;
  BOX.width = Math.round(Math.max(BOX.narrowest, Math.min(BOX.widest, room)));
  const width = 2 * BOX.margin + view.columns * (BOX.width + BOX.gap) - BOX.gap;
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

const measure = (text, size) => {
  measure.context ||= document.createElement("canvas").getContext("2d");
  measure.family ||= getComputedStyle(document.body).fontFamily;
  measure.context.font = `${size}px ${measure.family}`;
  return measure.context.measureText(text).width;
};

// Cuts a text without breaks, if it is too long.
function cut(text, width, size) {
  if (measure(text, size) <= width) return text;
  const characters = [...text];
  let [low, high] = [1, Math.min(characters.length, 200)];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (measure(`${characters.slice(0, middle).join("")}…`, size) <= width) low = middle;
    else high = middle - 1;
  }
  return `${characters.slice(0, low).join("")}…`;
}

// Returns a name as one line or two, broken or cut between its words.
function twoLines(text, width) {
  if (measure(text, 12) <= width) return [text];
  const words = text.split(/(?<=[^\p{L}\p{N}])/u);
  const lines = [];
  while (words.length && lines.length < 2) {
    let line = words.shift();
    const end = lines.length ? "…" : "";
    while (words.length && measure(line + words[0] + end, lines.length ? 11 : 12) <= width) line += words.shift();
    lines.push(line);
  }
  if (words.length) lines[lines.length - 1] += "…";
  return lines.length === 1 ? [cut(text, width, 12)] : lines.map((line) => cut(line, width, 11));
}

// Returns the end of a folder's name that fits into a line.
function lastWords(text, width) {
  const words = text.split(/(?<=\/)/);
  let name = text;
  while (words.length > 1 && measure(name, 12) > width) {
    words.shift();
    name = `…/${words.join("")}`;
  }
  return cut(name, width, 12);
}

// Returns the begin of counts that fits into a line.
function firstParts(text, width) {
  const parts = text.split(" · ");
  let line = text;
  while (parts.length > 1 && measure(line, 10) > width) {
    parts.pop();
    line = `${parts.join(" · ")} …`;
  }
  return cut(line, width, 10);
}

function worst(numbers) {
  const order = ["bad", "warn", "active", "skipped", "good", "idle", "unknown"];
  return numbers.map((number) => outcome(page.nodes[number])).sort((a, b) => order.indexOf(a) - order.indexOf(b))[0];
}

function drawItem(item, index) {
  const [column, row, kind, subject] = item;
  const [name, sub, shape, words] = itemTexts(item);
  const left = kind === 2 ? 10 : 28;
  // the text of a failed node is bold
  const width = (BOX.width - left - 8) * (shape === "bad" ? 0.9 : 1);
  const parts = [draw("rect", { width: BOX.width, height: BOX.height, rx: 5 })];
  if (kind !== 2) parts.push(draw("use", { href: `#icon-${shape}`, class: `icon ${shape}`, x: 9, y: 8.5, width: 13, height: 13 }));
  const write = (text, at, kind = null) => parts.push(" ", draw("text", { x: left, y: at, class: kind, direction: "ltr", "unicode-bidi": "plaintext" }, text));
  const [first, second] = kind === 0 ? twoLines(name, width) : [lastWords(name, width)];
  write(first, second || sub ? 13 : 19, second && "two");
  if (second) write(second, 24.5, "two");
  else if (sub) write(firstParts(sub, width), 25, "sub");
  const tests = kind === 0 && page.nodes[subject].tests;
  if (tests) parts.push(draw("use", { href: `#icon-${tests}`, class: `icon ${tests}`, x: BOX.width - 10, y: -5, width: 14, height: 14 }));
  return draw("g", {
    class: `box ${shape}`, transform: `translate(${x(column)} ${y(row)})`, tabindex: "-1", role: "button",
    "aria-label": words, "data-item": index, "data-node": kind === 0 ? subject : null,
  }, ...parts);
}

// Returns the name of an item, the line below it, its outcome, and its name for a screen reader.
function itemTexts([, , kind, subject, extra]) {
  if (kind === 0) {
    const node = page.nodes[subject];
    return [node.name, node.type === "model" ? "" : node.type.replace("_", " "), outcome(node), tipOf(subject).join(", ")];
  }
  if (kind === 1) {
    const [title, numbers] = page.data.groups[subject];
    const counts = ["bad", "warn", "skipped"].map((each) => [each, numbers.filter((number) => outcome(page.nodes[number]) === each).length]).filter(([, count]) => count);
    const sub = [`${numbers.length} node${numbers.length === 1 ? "" : "s"}`, ...counts.map(([each, count]) => `${count} ${WORDS[each]}`)].join(" · ");
    return [title, sub, worst(numbers), `${title}, ${sub}`];
  }
  const rows = extra === null ? "loaded by dlt" : `${extra.toLocaleString("en")} rows loaded`;
  return [subject, rows, "table", `${subject}, ${rows}, table`];
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

// Changes the size, and keeps a point of the window where it is: by default the middle.
function rescale(scale, across = null, down = null) {
  const map = find("graph").firstElementChild;
  const svg = map && map.querySelector("svg");
  if (!svg) return;
  const [width, height] = [+svg.dataset.width, +svg.dataset.height];
  const fit = Math.max(SMALLEST, Math.min(1.15, (map.clientWidth - 4) / width));
  const before = chosen.scale;
  chosen.scale = Math.min(3, Math.max(0.1, scale === null ? fit : scale));
  const [left, top] = [across === null ? map.clientWidth / 2 : across, down === null ? map.clientHeight / 2 : down];
  const at = [(map.scrollLeft + left) / before, (map.scrollTop + top) / before];
  svg.setAttribute("width", Math.round(width * chosen.scale));
  svg.setAttribute("height", Math.round(height * chosen.scale));
  map.scrollTo({ left: at[0] * chosen.scale - left, top: at[1] * chosen.scale - top });
}

// Scrolls the map, not the page, to a box.
function center(box) {
  const map = find("graph").firstElementChild;
  const [outer, inner] = [map.getBoundingClientRect(), box.getBoundingClientRect()];
  map.scrollBy({ left: inner.left + inner.width / 2 - outer.left - outer.width / 2, top: inner.top + inner.height / 2 - outer.top - outer.height / 2 });
}

// Lets the pointer drag the map, and the wheel zoom it.
function watchMap(map) {
  let from = null;
  map.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button === 0 && !event.target.closest(".box")) from = [event.clientX + map.scrollLeft, event.clientY + map.scrollTop];
  });
  map.addEventListener("pointermove", (event) => {
    if (!from) return;
    if (!event.buttons) { stop(); return; }
    map.classList.add("dragged");
    map.scrollTo({ left: from[0] - event.clientX, top: from[1] - event.clientY });
  });
  const stop = () => { from = null; map.classList.remove("dragged"); };
  map.addEventListener("pointerup", stop);
  map.addEventListener("pointerleave", stop);
  map.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const edge = map.getBoundingClientRect();
    rescale(chosen.scale * (event.deltaY < 0 ? 1.15 : 1 / 1.15), event.clientX - edge.left, event.clientY - edge.top);
  }, { passive: false });
}

// Returns the view in which a node has a box of its own: the current one, if it has.
function boxView(number) {
  const has = (view) => view.items.some((item) => item[2] === 0 && item[3] === number);
  const view = currentView();
  return view && has(view) ? view : page.data.views.find(has);
}

function showBox(number) {
  showView(boxView(number).key);
  const box = find("graph").querySelector(`.box[data-node="${number}"]`);
  find("lineage").scrollIntoView();
  center(box);
  box.focus({ preventScroll: true });
  markHere(number);
}

// Dims what does not match the search, or nothing, and counts what does; goes to the next match.
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
  if (!goes || !matches.length) return;
  const box = matches[chosen.match++ % matches.length];
  center(box);
  box.focus({ preventScroll: true });
}
