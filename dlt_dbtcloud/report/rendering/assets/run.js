// Starts the page of a run.
function start() {
  read();
  startTimeline();
  startLineage();
  startTable();
  copyButtons(document);
  // later, a live page keeps the place in each log
  if (!("ready" in document.documentElement.dataset)) document.querySelectorAll("#steps details[open] > pre").forEach(showEnd);
  localTimes();
  breakNames();
  openAddress();
  document.documentElement.dataset.ready = "";
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element && event.target.closest("button.node");
  if (button) openPanel(+button.dataset.node, button);
  const count = event.target instanceof Element && event.target.closest("[data-filter]");
  if (count) showOutcome(count.dataset.filter);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !find("panel").hidden) closePanel();
  else if (event.key === "Escape") hideTip();
});
// a log is shown from its end
const showEnd = (log) => { log.scrollTop = log.scrollHeight; };
document.addEventListener("toggle", (event) => {
  const log = event.target instanceof Element && event.target.matches("#steps details[open]") && event.target.querySelector("pre");
  if (log && !log.scrollTop) showEnd(log);
}, true);
addEventListener("hashchange", openAddress);
addEventListener("beforeprint", () => {
  chosen.zoom = 1;
  startTimeline();
  rescale(null);
});
