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
  chosen.node = chosen.id = null;
  address("");
  for (const box of document.querySelectorAll(".here")) box.classList.remove("here");
  if (opener && opener.isConnected) opener.focus({ preventScroll: true });
  opener = null;
}

async function openPanel(number, from = null, isAgain = false) {
  const node = page.nodes[number];
  if (!node) return;
  if (from && !find("panel").contains(from)) opener = from;
  chosen.node = number;
  chosen.state = stateOf(node);
  hideTip();
  const panel = find("panel");
  const [top, isFocused] = [isAgain ? panel.scrollTop : 0, !isAgain || panel.contains(document.activeElement)];
  const close = make("button", { type: "button", class: "close", "aria-label": "Close" }, "✕");
  close.addEventListener("click", closePanel);
  const title = make("h2", { id: "panel-title", tabindex: "-1" }, label(node.name));
  const status = node.status ? chip(node.status) : make("span", { class: "quiet" }, page.data.absent);
  panel.replaceChildren(close, make("p", { class: "kicker" }, node.type.replace("_", " ")), title, make("div", { class: "row" }, status, ...places(number)));
  panel.hidden = false;
  panel.scrollTop = 0;
  if (isFocused) title.focus({ preventScroll: true });
  markHere(number);
  let details = null;
  try {
    details = (await readDetails())[number];
  } catch (error) {
    panel.append(make("p", { class: "quiet" }, "This browser cannot read the details of nodes."));
  }
  if (chosen.node !== number || !details) return;
  panel.append(...describe(node, details));
  copyButtons(panel);
  panel.scrollTop = top;
  [chosen.id] = details;
  address(`#${NODE}${encodeURIComponent(details[0])}`);
}

// The state of a node that the panel shows, and that a live page may change.
const stateOf = (node) => JSON.stringify([node.status, node.execution]);

// The links from a node to its places in the timeline and the lineage.
function places(number) {
  const go = (title, action) => {
    const button = make("button", { type: "button", class: "action" }, title);
    button.addEventListener("click", () => { if (innerWidth < 900) closePanel(); action(); });
    return button;
  };
  return [
    document.querySelector(`.bar[data-node="${number}"]`) && go("In the timeline", () => showBar(number)),
    boxView(number) && go("In the lineage", () => showBox(number)),
  ].filter(Boolean);
}

// Names a node in the address of the page, so that the address can be passed on.
const NODE = "node=";

function address(fragment) {
  try {
    history.replaceState(null, "", fragment || location.pathname + location.search);
  } catch (error) {
    // a page in a frame has no address of its own
  }
}

async function openAddress() {
  if (!location.hash.startsWith(`#${NODE}`)) return;
  try {
    const id = decodeURIComponent(location.hash.slice(NODE.length + 1));
    const number = (await readDetails()).findIndex((details) => details[0] === id);
    if (number < 0) return;
    if (id !== chosen.id) openPanel(number);
    else if (stateOf(page.nodes[number]) !== chosen.state) openPanel(number, null, true);
    else {
      // a live page numbers its nodes anew
      chosen.node = number;
      markHere(number);
    }
  } catch (error) {
    // it is no address of a node, or its details cannot be read
  }
}

// Adds buttons that copy a code or a message; where copying is not allowed, they select it.
function copyButtons(place) {
  for (const holder of place.querySelectorAll(".copied")) {
    if (holder.querySelector("button")) continue;
    const button = make("button", { type: "button" }, "Copy");
    const code = holder.querySelector("pre");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch (error) {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    holder.append(button);
  }
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
  const copied = (attributes, text) => make("div", { class: "copied" }, make("pre", { ...attributes, tabindex: "0" }, text));
  if (message) parts.push(copied({ dir: "auto" }, message));
  if (description) parts.push(make("p", { dir: "auto" }, description));
  parts.push(make("dl", {}, ...facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, bidi(text))])));
  const tests = node.children.filter((child) => isTest(page.nodes[child]));
  parts.push(...links("Reads", node.parents), ...links("Read by", node.children.filter((child) => !isTest(page.nodes[child]))), ...links("Tests", tests));
  if (columns.length) {
    const body = columns.map(([name, type, text]) => make("tr", {}, make("th", { scope: "row" }, bidi(name)), make("td", {}, bidi(type)), make("td", {}, bidi(text))));
    const head = ["Column", "Type", "Description"].map((name) => make("th", { scope: "col" }, name));
    parts.push(make("h3", {}, "Columns"), make("div", { class: "wide" }, make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body))));
  }
  if (code) parts.push(make("h3", {}, "Compiled SQL"), copied({ dir: "ltr", class: "code" }, code));
  if (isCut) parts.push(make("p", { class: "quiet" }, "Its columns, SQL and long texts are left out, to keep the page small."));
  return parts;
}

const isTest = (node) => node.type === "test" || node.type === "unit_test";

function links(title, numbers) {
  if (!numbers.length) return [];
  const buttons = numbers.slice(0, 40).map((number) => {
    const button = make("button", { type: "button", class: "node", "data-node": number }, label(page.nodes[number].name));
    return make("span", {}, icon(outcome(page.nodes[number])), make("span", { class: "hidden" }, statusText(page.nodes[number])), button);
  });
  const more = numbers.length > 40 ? [make("span", { class: "quiet" }, `and ${numbers.length - 40} more`)] : [];
  return [make("h3", {}, title), make("div", { class: "links" }, ...buttons, ...more)];
}

function markHere(number) {
  for (const box of document.querySelectorAll(".here")) box.classList.remove("here");
  for (const box of document.querySelectorAll(`.bar[data-node="${number}"], .box[data-node="${number}"]`)) box.classList.add("here");
}
