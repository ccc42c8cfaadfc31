// The table of all nodes, with a filter and an order.
const COLUMNS = [
  ["node", "Node", (node) => node.name.toLowerCase()],
  ["type", "Type", (node) => node.type],
  ["status", "Status", (node) => ["bad", "warn", "skipped", "active", "good", "idle", "unknown"].indexOf(outcome(node))],
  ["number", "Time", (node) => seconds(node)],
  ["number step", "Step", (node) => (node.execution ? node.execution[1] : 0)],
  ["folder", "Folder", (node) => node.folder.toLowerCase()],
];
const MORE = 500;

function startTable() {
  find("table-tools").hidden = false;
  const statuses = new Set(page.nodes.filter((node) => node.status).map((node) => node.status[0]));
  const types = new Set(page.nodes.map((node) => node.type));
  const isAllRun = page.nodes.every((node) => node.status);
  options(find("filter-status"), [["", statuses.size ? "All in this run" : "All"], ...[...statuses].sort().map((each) => [each, each]), ...(isAllRun ? [] : [["\u0000not", "not in this run"], ["\u0000all", "All of the project"]])], "status");
  options(find("filter-type"), [["", "All types"], ...[...types].sort().map((each) => [each, each.replace("_", " ")])], "type");
  const text = find("filter-text");
  text.value = chosen.filter;
  text.oninput = () => { chosen.filter = text.value; chosen.shown = MORE; drawTable(); };
  drawTable();
}

function options(select, pairs, name) {
  select.replaceChildren(...pairs.map(([value, title]) => make("option", { value }, title)));
  select.value = pairs.some(([value]) => value === chosen[name]) ? chosen[name] : "";
  chosen[name] = select.value;
  select.onchange = () => { chosen[name] = select.value; chosen.shown = MORE; drawTable(); };
}

function matching() {
  const wanted = chosen.filter.trim().toLowerCase();
  const hasRun = page.nodes.some((node) => node.status);
  const isWanted = (node) => {
    if (chosen.status === "\u0000not" ? node.status : chosen.status === "" ? hasRun && !node.status : chosen.status !== "\u0000all" && statusText(node) !== chosen.status) return false;
    if (chosen.type && node.type !== chosen.type) return false;
    return !wanted || node.name.toLowerCase().includes(wanted) || node.folder.toLowerCase().includes(wanted);
  };
  const found = page.nodes.filter(isWanted);
  if (chosen.sort === null) return found;
  const key = COLUMNS[chosen.sort][2];
  const sign = chosen.descending ? -1 : 1;
  return found.map((node) => [key(node), node]).sort(([a, one], [b, other]) => sign * (a < b ? -1 : a > b ? 1 : 0) || one.number - other.number).map(([, node]) => node);
}

function drawTable() {
  const found = matching();
  const shown = found.slice(0, chosen.shown);
  find("filter-count").textContent = `${found.length.toLocaleString("en")} node${found.length === 1 ? "" : "s"}`;
  const head = COLUMNS.map(([kind, title], index) => {
    const button = make("button", { type: "button" }, title);
    button.addEventListener("click", () => {
      chosen.descending = chosen.sort === index ? !chosen.descending : title === "Time";
      chosen.sort = index;
      drawTable();
      find("table").querySelectorAll("thead button")[index].focus();
    });
    const sort = chosen.sort === index ? (chosen.descending ? "descending" : "ascending") : null;
    return make("th", { scope: "col", class: kind, "aria-sort": sort }, button);
  });
  const rows = shown.map((node) => make("tr", {},
    make("th", { scope: "row" }, make("button", { type: "button", class: "node", "data-node": node.number }, bidi(node.name))),
    make("td", {}, node.type.replace("_", " ")),
    make("td", {}, chip(node.status)),
    make("td", { class: "number" }, node.execution ? duration(node.execution[4]) : ""),
    make("td", { class: "number step" }, node.execution ? String(node.execution[1]) : ""),
    make("td", { class: "folder" }, bidi(node.folder)),
  ));
  const table = make("table", { "aria-label": "Nodes" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
  find("table").replaceChildren(table);
  if (found.length > shown.length) {
    const button = make("button", { type: "button" }, `Show ${Math.min(MORE, found.length - shown.length)} more`);
    button.addEventListener("click", () => { chosen.shown += MORE; drawTable(); });
    find("table").append(make("p", { class: "more" }, `${shown.length.toLocaleString("en")} of ${found.length.toLocaleString("en")} nodes. `, button));
  }
}
