// Reads a live page again, until it is final, and keeps what its reader has chosen.
let tag = null;

async function refresh() {
  let wait = page.data.refresh;
  try {
    // nobody looks, so the server has nothing to do
    if (document.hidden) return setTimeout(refresh, 1000 * wait);
    const response = await fetch(location.href, { cache: "no-cache", credentials: "omit" });
    if (response.status === 404) return markLive("no longer known to the server");
    if (!response.ok) throw new Error(response.statusText);
    markLive("live");
    if (tag !== response.headers.get("ETag")) {
      tag = response.headers.get("ETag");
      replace(await response.text());
    }
    wait = page.data.refresh;
  } catch (error) {
    // the server may have stopped; it is asked again, but less often
    markLive("the server does not answer");
    wait = 10;
  }
  return wait && setTimeout(refresh, 1000 * wait);
}

function markLive(text) {
  const live = document.querySelector(".live");
  if (!live) return;
  live.textContent = text;
  live.classList.toggle("stale", text !== "live");
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
  start();
  if (focused && find(focused)) find(focused).focus({ preventScroll: true });
  scrollTo(across, down);
}

start();
if (page.data.refresh !== null && location.protocol.startsWith("http")) setTimeout(refresh, 1000 * page.data.refresh);
