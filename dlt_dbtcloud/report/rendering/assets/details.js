// The panel with the details of a node, which are compressed in the page.
async function readDetails() {
  if (page.details) return page.details;
  const binary = atob(find("details").textContent.trim());
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  page.details = JSON.parse(await new Response(stream).text());
  return page.details;
}

let opener = null;

function closePanel() {
  find("panel").hidden = true;
  chosen.node = null;
  for (const box of document.querySelectorAll(".here")) box.classList.remove("here");
  if (opener && opener.isConnected) opener.focus({ preventScroll: true });
  opener = null;
}

async function openPanel(number, from = null) {
  const node = page.nodes[number];
  if (!node) return;
  if (from && !find("panel").contains(from)) opener = from;
  chosen.node = number;
  hideTip();
  const panel = find("panel");
  const close = make("button", { type: "button", class: "close", "aria-label": "Close" }, "✕");
  close.addEventListener("click", closePanel);
  const title = make("h2", { id: "panel-title", tabindex: "-1" }, bidi(node.name));
  panel.replaceChildren(close, make("p", { class: "kicker" }, node.type.replace("_", " ")), title, make("p", {}, chip(node.status)));
  panel.hidden = false;
  panel.scrollTop = 0;
  title.focus({ preventScroll: true });
  markHere(number);
  let details = null;
  try {
    details = (await readDetails())[number];
  } catch (error) {
    panel.append(make("p", { class: "quiet" }, "This browser cannot read the details of nodes."));
  }
  if (chosen.node === number && details) panel.append(...describe(node, details));
}

function describe(node, details) {
  const [id, message, description, relation, materialized, path, columns, code, owners, tags, failures, rows, past, fresh, isCut] = details;
  const facts = [
    ["Time", node.execution ? duration(node.execution[4]) : ""],
    ["Median before", past ? `${duration(past[0])} of ${past[1]} run${past[1] === 1 ? "" : "s"}` : ""],
    ["Failures", failures === null ? "" : String(failures)],
    ["Rows", rows === null ? "" : rows.toLocaleString("en")],
    ["Freshness", fresh], ["Relation", relation], ["Materialized", materialized], ["File", path],
    ["Package", node.package], ["Owners", owners.join(", ")], ["Tags", tags.join(", ")], ["Id", id],
  ].filter(([, text]) => text);
  const parts = [];
  if (message) parts.push(make("pre", { dir: "auto", tabindex: "0" }, message));
  if (description) parts.push(make("p", { dir: "auto" }, description));
  parts.push(make("dl", {}, ...facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, bidi(text))])));
  const tests = node.children.filter((child) => isTest(page.nodes[child]));
  parts.push(...links("Reads", node.parents), ...links("Read by", node.children.filter((child) => !isTest(page.nodes[child]))), ...links("Tests", tests));
  if (columns.length) {
    const body = columns.map(([name, type, text]) => make("tr", {}, make("th", { scope: "row" }, bidi(name)), make("td", {}, bidi(type)), make("td", {}, bidi(text))));
    const head = ["Column", "Type", "Description"].map((name) => make("th", { scope: "col" }, name));
    parts.push(make("h3", {}, "Columns"), make("div", { class: "wide" }, make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body))));
  }
  if (code) parts.push(make("h3", {}, "Compiled SQL"), make("pre", { dir: "ltr", class: "code", tabindex: "0" }, code));
  if (isCut) parts.push(make("p", { class: "quiet" }, "Its columns and SQL are left out, to keep the page small."));
  return parts;
}

const isTest = (node) => node.type === "test" || node.type === "unit_test";

function links(title, numbers) {
  if (!numbers.length) return [];
  const buttons = numbers.slice(0, 40).map((number) => {
    const button = make("button", { type: "button", class: "node", "data-node": number }, bidi(page.nodes[number].name));
    return make("span", {}, make("b", { class: `dot ${outcome(page.nodes[number])}`, title: statusText(page.nodes[number]) }), button);
  });
  const more = numbers.length > 40 ? [make("span", { class: "quiet" }, `and ${numbers.length - 40} more`)] : [];
  return [make("h3", {}, title), make("div", { class: "links" }, ...buttons, ...more)];
}

function markHere(number) {
  for (const box of document.querySelectorAll(".here")) box.classList.remove("here");
  for (const box of document.querySelectorAll(`.bar[data-node="${number}"], .box[data-node="${number}"]`)) box.classList.add("here");
}
