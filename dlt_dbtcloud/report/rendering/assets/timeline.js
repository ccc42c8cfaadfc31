// The timeline: a lane for each thread, and a bar for each execution.
const STEPS = [1, 2, 5];
// pixels from which a bar has a label, and between two ticks
const LABEL = 44;
const TICK = 100;

function startTimeline() {
  const { data } = page;
  const place = find("timeline");
  place.replaceChildren();
  if (!data.threads.length || !data.executions.some((each) => each[5] >= 0)) {
    place.append(make("p", { class: "quiet" }, data.executions.length ? "It is not known when the nodes were executed." : "No node has been executed."));
    return;
  }
  const span = Math.max(data.span, 0.001);
  const lanes = data.threads.map(() => make("div"));
  const bars = drawBars(lanes, span);
  const scale = make("div", { class: "scale" });
  const gutter = (text) => make("span", { class: "gutter", title: text }, text);
  const canvas = make("div", { class: "canvas" },
    make("div", { class: "axis", "aria-hidden": "true" }, gutter(""), scale), ...drawBands(span),
    ...lanes.map((lane, number) => make("div", { class: "lane" }, gutter(data.threads.indexOf(data.threads[number]) === number ? data.threads[number] : ""), lane)));
  const track = make("div", {
    class: "track", tabindex: "0", role: "application", "aria-roledescription": "timeline",
    "aria-label": `Timeline of ${bars.length} executions in ${duration(span)}. Arrow keys move between nodes, Enter shows one, plus and minus zoom. The table of nodes has the same data.`,
  }, canvas);
  place.append(track, drawKeys(bars));
  const fit = () => {
    const width = scale.clientWidth;
    ticks(scale, width, span);
    labels(bars, width / span);
  };
  const zoom = (factor, at = track.clientWidth / 2) => {
    const [edge, width] = [canvas.clientWidth - scale.clientWidth, scale.clientWidth];
    const before = (track.scrollLeft + at - edge) / width;
    chosen.zoom = Math.min(400, Math.max(1, factor));
    canvas.style.width = `${100 * chosen.zoom}%`;
    track.scrollLeft = before * scale.clientWidth - at + edge;
    fit();
  };
  page.timeline = { track, canvas, zoom };
  watchTimeline(track, bars, zoom);
  zoom(chosen.zoom);
  new ResizeObserver(fit).observe(track);
  find("timeline-tools").hidden = false;
}

// Adds a bar for each execution to its lane, and returns the bars in the order of their begin.
function drawBars(lanes, span) {
  const bars = [];
  page.data.executions.forEach(([node, , status, began, took, lane, isCritical], index) => {
    if (lane < 0) return;
    const kinds = `bar ${page.data.statuses[status][1]}${isTest(page.nodes[node]) ? " test" : ""}${isCritical ? " critical" : ""}`;
    const bar = make("div", { class: kinds, "data-node": node, "data-index": index, id: `bar-${index}` });
    bar.style.left = `${(100 * began) / span}%`;
    bar.style.width = `${(100 * took) / span}%`;
    lanes[lane].append(bar);
    bars.push({ bar, began, took, name: page.nodes[node].name });
  });
  return bars.sort((a, b) => a.began - b.began);
}

// Returns the steps, which are marked if there are several.
function drawBands(span) {
  const { bands } = page.data;
  if (bands.length < 2) return [];
  const names = make("div", { class: "scale" });
  const lines = make("div", { class: "bands", "aria-hidden": "true" });
  for (const [index, name, begin, end] of bands) {
    const left = Math.max(0, begin);
    if (left > span) continue;
    const line = make("div", { class: "band" });
    const title = make("div", { class: "bandname", title: name }, `${index} ${name}`);
    line.style.left = title.style.left = `${(100 * left) / span}%`;
    title.style.width = `${(100 * Math.max(0, Math.min(end, span) - left)) / span}%`;
    lines.append(line);
    names.append(title);
  }
  return [make("div", { class: "bandnames", "aria-hidden": "true" }, make("span", { class: "gutter" }), names), lines];
}

// Returns what the shapes and colours of the bars mean.
function drawKeys(bars) {
  const has = (kind) => bars.some(({ bar }) => bar.classList.contains(kind));
  const key = (kind, text) => make("li", {}, make("span", { class: `swatch ${kind}` }), text);
  const keys = ORDER.filter(has).map((kind) => key(kind, WORDS[kind]));
  if (has("test")) keys.push(key("test good", "test"));
  if (has("critical")) keys.push(key("line", "critical path"));
  return make("ul", { class: "keys legend", "aria-label": "Bars" }, ...keys);
}

function ticks(scale, width, span) {
  const wanted = Math.max(2, Math.min(2000, width / TICK));
  const power = 10 ** Math.floor(Math.log10(span / wanted));
  // minutes and hours are divided otherwise than seconds
  const gaps = power < 10 ? [...STEPS, 10].map((step) => step * power) : [];
  const gap = [...gaps, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400].find((each) => span / each <= wanted) || span;
  const found = [];
  for (let at = 0; at <= span && found.length < 2000; at += gap) {
    const tick = make("span", { class: "tick" }, gap < 0.1 ? `${at.toFixed(3)} s` : at < 60 ? `${+at.toFixed(1)} s` : duration(at));
    tick.style.left = `${(100 * at) / span}%`;
    if (((span - at) * width) / span > 46 || !found.length) found.push(tick);
  }
  scale.replaceChildren(...found);
}

// Labels the bars that are wide enough.
function labels(bars, pixels) {
  for (const { bar, took, name } of bars) {
    const text = took * pixels >= LABEL ? name : "";
    if (bar.textContent !== text) bar.textContent = text;
  }
}

// Scrolls to the bars of a node, zooming until they can be seen.
function showBar(number) {
  const { track, zoom } = page.timeline;
  const bar = track.querySelector(`.bar[data-node="${number}"]`);
  if (bar.clientWidth < 12) zoom(chosen.zoom * (12 / Math.max(bar.clientWidth, 0.5)));
  track.scrollIntoView({ block: "center" });
  track.scrollTop = bar.parentElement.offsetTop - track.clientHeight / 2;
  track.scrollLeft = bar.offsetLeft - track.clientWidth / 3;
  track.focus({ preventScroll: true });
}

function watchTimeline(track, bars, zoom) {
  const { executions } = page.data;
  let active = -1;
  const barOf = (target) => (target instanceof Element ? target.closest(".bar") : null);
  const tip = (bar) => tipOf(+bar.dataset.node, executions[+bar.dataset.index]);
  track.addEventListener("pointermove", (event) => {
    const bar = barOf(event.target);
    if (bar) showTip(tip(bar), event.clientX, event.clientY);
    else hideTip();
  });
  track.addEventListener("pointerleave", hideTip);
  track.addEventListener("click", (event) => {
    const bar = barOf(event.target);
    if (bar) openPanel(+bar.dataset.node, track);
  });
  track.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom(chosen.zoom * (event.deltaY < 0 ? 1.25 : 0.8), event.clientX - track.getBoundingClientRect().left);
  }, { passive: false });
  track.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (move) {
      active = Math.min(bars.length - 1, Math.max(0, active + move));
      const { bar } = bars[active];
      bar.scrollIntoView({ block: "nearest", inline: "nearest" });
      markHere(+bar.dataset.node);
      track.setAttribute("aria-activedescendant", bar.id);
      bar.setAttribute("aria-label", tip(bar).join(", "));
      bar.setAttribute("role", "img");
      const box = bar.getBoundingClientRect();
      showTip(tip(bar), Math.max(box.left, 0), box.bottom - 14);
    } else if (event.key === "Enter" && active >= 0) openPanel(+bars[active].bar.dataset.node, track);
    else if (event.key === "+" || event.key === "=") zoom(chosen.zoom * 1.5);
    else if (event.key === "-") zoom(chosen.zoom / 1.5);
    else return;
    event.preventDefault();
  });
  track.addEventListener("blur", hideTip);
  const tools = find("timeline-tools");
  tools.onclick = (event) => {
    const wanted = event.target instanceof Element && event.target.getAttribute("data-zoom");
    if (wanted) zoom(wanted === "all" ? 1 : chosen.zoom * (wanted === "in" ? 1.6 : 1 / 1.6));
  };
  const only = find("critical-only");
  if (!only) return;
  const apply = () => track.classList.toggle("only-critical", chosen.onlyCritical);
  only.checked = chosen.onlyCritical;
  only.onchange = () => { chosen.onlyCritical = only.checked; apply(); };
  apply();
}
