// The table of all nodes, with a filter and an order: at first, the worst come first.
const COLUMNS = [
  ["node", "Node", (node) => node.name.toLowerCase()],
  ["type", "Type", (node) => node.type],
  ["status", "Status", (node) => (node.status ? ORDER.indexOf(outcome(node)) : ORDER.length)],
  ["number", "Time", (node) => seconds(node)],
  ["number step", "Step", (node) => (node.execution ? node.execution[1] : 0)],
  ["folder", "Folder", (node) => node.folder.toLowerCase()],
];
// rows at first, and for each click on more
const FIRST = 100;
const MORE = 500;
const NOT_RUN = "not-run";
const PROJECT = "project";
const CHECKED = "checked";

function startTable() {
  find("table-tools").hidden = false;
  const { nodes } = page;
  const count = (kind) => nodes.filter((node) => node.execution && outcome(node) === kind).length;
  const inRun = nodes.filter((node) => node.status).length;
  const statuses = ORDER.map((kind) => [kind, WORDS[kind], count(kind)]).filter((each) => each[2]);
  const checked = nodes.filter((node) => node.status && !node.execution).length;
  if (checked) statuses.push([CHECKED, "sources, checked", checked]);
  const others = inRun && inRun < nodes.length ? [[NOT_RUN, page.data.absent, nodes.length - inRun], [PROJECT, "All of the project", nodes.length]] : [];
  const titled = ([value, title, number]) => [value, `${title} (${number.toLocaleString("en")})`];
  options(find("filter-status"), [["", inRun ? "All in this run" : "All", inRun || nodes.length], ...statuses, ...others].map(titled), "status");
  const types = [...new Set(nodes.map((node) => node.type))].sort();
  options(find("filter-type"), [["", "All types"], ...types.map((each) => [each, each.replace("_", " ")])], "type");
  const text = find("filter-text");
  text.value = chosen.filter;
  text.oninput = () => { chosen.filter = text.value; chosen.shown = FIRST; drawTable(); };
  drawTable();
}

// Shows the nodes with an outcome, and no other filter.
function showOutcome(kind) {
  Object.assign(chosen, { filter: "", type: "", status: kind });
  startTable();
}

function options(select, pairs, name) {
  select.replaceChildren(...pairs.map(([value, title]) => make("option", { value }, title)));
  select.value = pairs.some(([value]) => value === chosen[name]) ? chosen[name] : "";
  chosen[name] = select.value;
  select.onchange = () => { chosen[name] = select.value; chosen.shown = FIRST; drawTable(); };
}

function matching() {
  const wanted = chosen.filter.trim().toLowerCase();
  const hasRun = page.nodes.some((node) => node.status);
  const isStatus = {
    "": (node) => node.status || !hasRun,
    [NOT_RUN]: (node) => !node.status,
    [CHECKED]: (node) => node.status && !node.execution,
    [PROJECT]: () => true,
  }[chosen.status] || ((node) => node.execution && outcome(node) === chosen.status);
  const isWanted = (node) => {
    if (!isStatus(node)) return false;
    if (chosen.type && node.type !== chosen.type) return false;
    return !wanted || node.name.toLowerCase().includes(wanted) || node.folder.toLowerCase().includes(wanted);
  };
  const found = page.nodes.filter(isWanted);
  const key = COLUMNS[chosen.sort][2];
  const sign = chosen.descending ? -1 : 1;
  return found.map((node) => [key(node), node]).sort(([a, one], [b, other]) => sign * (a < b ? -1 : a > b ? 1 : 0) || one.number - other.number).map(([, node]) => node);
}

function drawTable() {
  const found = matching();
  const shown = found.slice(0, chosen.shown);
  const all = page.nodes.length.toLocaleString("en");
  find("filter-count").textContent = found.length === page.nodes.length ? `${all} node${all === "1" ? "" : "s"}` : `${found.length.toLocaleString("en")} of ${all} nodes`;
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
    make("th", { scope: "row" }, make("button", { type: "button", class: "node", "data-node": node.number }, label(node.name))),
    make("td", { class: "type" }, node.type.replace("_", " ")),
    make("td", {}, chip(node.status)),
    make("td", { class: "number" }, node.execution && outcome(node) !== "skipped" ? duration(node.execution[4]) : ""),
    make("td", { class: "number step" }, node.execution ? String(node.execution[1]) : ""),
    make("td", { class: "folder" }, bidi(node.folder)),
  ));
  if (!rows.length) rows.push(make("tr", {}, make("td", { colspan: COLUMNS.length, class: "quiet" }, page.nodes.length ? "No node matches." : "No node is known.")));
  const table = make("table", { "aria-label": "Nodes" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
  find("table").replaceChildren(table);
  if (found.length > shown.length) {
    const button = make("button", { type: "button" }, `Show ${Math.min(MORE, found.length - shown.length)} more`);
    button.addEventListener("click", () => { chosen.shown += MORE; drawTable(); });
    find("table").append(make("p", { class: "more" }, `${shown.length.toLocaleString("en")} of ${found.length.toLocaleString("en")} nodes. `, button));
  }
}
