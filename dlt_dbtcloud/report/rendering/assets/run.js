// Starts the page of a run.
function start() {
  read();
  startTimeline();
  startLineage();
  startTable();
  copyButtons(document);
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
addEventListener("hashchange", openAddress);
addEventListener("beforeprint", () => {
  chosen.zoom = 1;
  startTimeline();
  rescale(null);
});
