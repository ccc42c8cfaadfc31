// Starts the page, and reads a live one again.
function start() {
  read();
  startTimeline();
  startLineage();
  startTable();
  document.documentElement.dataset.ready = "";
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element && event.target.closest("button.node");
  if (button) openPanel(+button.dataset.node, button);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !find("panel").hidden) closePanel();
  else if (event.key === "Escape") hideTip();
});
addEventListener("beforeprint", () => {
  chosen.zoom = 1;
  startTimeline();
  rescale(null);
});

let tag = null;

async function refresh() {
  let wait = page.data.refresh;
  try {
    const response = await fetch(location.href, { cache: "no-cache", credentials: "omit" });
    const text = await response.text();
    const isNew = tag !== response.headers.get("ETag");
    tag = response.headers.get("ETag");
    if (response.ok && isNew) replace(text);
    wait = page.data.refresh;
  } catch (error) {
    // the server may have stopped; it is asked again, but less often
    wait = 10;
  }
  if (wait) setTimeout(refresh, 1000 * wait);
}

function replace(text) {
  const main = new DOMParser().parseFromString(text, "text/html").getElementById("main");
  if (!main) return;
  const open = new Map([...document.querySelectorAll("main details[id]")].map((each) => [each.id, each.open]));
  const focused = document.activeElement && document.activeElement.id;
  const [across, down] = [scrollX, scrollY];
  const logs = new Map([...document.querySelectorAll("details[id] > pre")].map((each) => [each.parentElement.id, each.scrollTop + each.clientHeight < each.scrollHeight - 4 ? each.scrollTop : null]));
  find("main").replaceWith(document.importNode(main, true));
  for (const details of document.querySelectorAll("main details[id]")) {
    if (open.has(details.id)) details.open = open.get(details.id) || details.open;
    const log = details.querySelector("pre");
    const top = logs.get(details.id);
    if (log) log.scrollTop = top === null || top === undefined ? log.scrollHeight : top;
  }
  const node = chosen.node;
  start();
  if (focused && find(focused)) find(focused).focus({ preventScroll: true });
  if (node !== null) markHere(node);
  scrollTo(across, down);
}

start();
if (page.data.refresh && location.protocol.startsWith("http")) setTimeout(refresh, 1000 * page.data.refresh);
