// The timeline: a lane for each thread, and a bar for each execution.
const STEPS = [1, 2, 5];

function startTimeline() {
  const { data } = page;
  const place = find("timeline");
  place.replaceChildren();
  if (!data.threads.length || !data.executions.some((each) => each[5] >= 0)) {
    place.append(make("p", { class: "quiet" }, "No node has been executed."));
    return;
  }
  const span = Math.max(data.span, 0.001);
  const share = (value) => `${(100 * value) / span}%`;
  const axis = make("div", { class: "axis", "aria-hidden": "true" });
  const canvas = make("div", { class: "canvas" }, axis);
  if (data.bands.length > 1) {
    const names = make("div", { class: "bandnames", "aria-hidden": "true" });
    for (const [index, name, begin, end] of data.bands) {
      const left = Math.max(0, begin);
      if (left > span) continue;
      const band = make("div", { class: "band" });
      band.style.left = share(left);
      const label = make("div", { class: "bandname", title: name }, `${index} ${name}`);
      label.style.left = share(left);
      label.style.width = share(Math.max(0, Math.min(end, span) - left));
      canvas.append(band);
      names.append(label);
    }
    canvas.append(names);
  }
  const lanes = data.threads.map((thread, number) => {
    const isFirst = data.threads.indexOf(thread) === number;
    return make("div", { class: isFirst ? "lane named" : "lane" }, isFirst ? make("span", { class: "lanename" }, thread) : null);
  });
  const order = [];
  data.executions.forEach(([node, , status, began, took, lane, isCritical], index) => {
    if (lane < 0) return;
    const [, kind] = data.statuses[status];
    const bar = make("div", { class: `bar ${kind}${isCritical ? " critical" : ""}`, "data-node": node, "data-index": index, id: `bar-${index}` });
    bar.style.left = share(began);
    bar.style.width = share(took);
    if (took / span > 0.004) bar.textContent = page.nodes[node].name;
    lanes[lane].append(bar);
    order.push(index);
  });
  order.sort((a, b) => data.executions[a][3] - data.executions[b][3]);
  canvas.append(...lanes);
  const track = make("div", {
    class: "track", tabindex: "0", role: "application", "aria-roledescription": "timeline",
    "aria-label": `Timeline of ${order.length} executions in ${duration(span)}. Arrow keys move between nodes, Enter shows one, plus and minus zoom. The table of nodes has the same data.`,
  }, canvas);
  place.append(track);
  const zoom = (factor, at = track.clientWidth / 2) => {
    const before = (track.scrollLeft + at) / canvas.clientWidth;
    chosen.zoom = Math.min(400, Math.max(1, factor));
    canvas.style.width = `${100 * chosen.zoom}%`;
    track.scrollLeft = before * canvas.clientWidth - at;
    ticks(axis, canvas, span);
  };
  watchTimeline(track, order, zoom);
  zoom(chosen.zoom);
  new ResizeObserver(() => ticks(axis, canvas, span)).observe(track);
  find("timeline-tools").hidden = false;
}

function ticks(axis, canvas, span) {
  const wanted = Math.max(2, Math.min(2000, canvas.clientWidth / 110));
  const power = 10 ** Math.floor(Math.log10(span / wanted));
  const gap = [...STEPS, 10].map((step) => step * power).find((step) => span / step <= wanted) || span;
  const found = [];
  for (let at = 0; at <= span && found.length < 2000; at += gap) {
    const tick = make("span", { class: "tick" }, gap < 0.1 ? `${at.toFixed(3)} s` : at < 60 ? `${+at.toFixed(1)} s` : duration(at));
    tick.style.left = `${(100 * at) / span}%`;
    if (at + gap * 0.6 <= span || !found.length) found.push(tick);
  }
  axis.replaceChildren(...found);
}

function watchTimeline(track, order, zoom) {
  const { executions } = page.data;
  let active = -1;
  const barOf = (target) => (target instanceof Element ? target.closest(".bar") : null);
  track.addEventListener("pointermove", (event) => {
    const bar = barOf(event.target);
    if (bar) showTip(tipOf(+bar.dataset.node, executions[+bar.dataset.index]), event.clientX, event.clientY);
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
      active = Math.min(order.length - 1, Math.max(0, active + move));
      const bar = find(`bar-${order[active]}`);
      bar.scrollIntoView({ block: "nearest", inline: "nearest" });
      markHere(+bar.dataset.node);
      track.setAttribute("aria-activedescendant", bar.id);
      bar.setAttribute("aria-label", tipOf(+bar.dataset.node, executions[+bar.dataset.index]).join(", "));
      bar.setAttribute("role", "img");
      const box = bar.getBoundingClientRect();
      showTip(tipOf(+bar.dataset.node, executions[+bar.dataset.index]), Math.max(box.left, 0), box.bottom - 14);
    } else if (event.key === "Enter" && active >= 0) openPanel(executions[order[active]][0], track);
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
  const apply = () => track.classList.toggle("only-critical", chosen.onlyCritical);
  only.checked = chosen.onlyCritical;
  only.onchange = () => { chosen.onlyCritical = only.checked; apply(); };
  apply();
}
