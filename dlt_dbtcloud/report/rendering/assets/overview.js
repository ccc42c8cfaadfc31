// The page of jobs and runs.
const markHere = () => {};

function start() {
  page.data = JSON.parse(find("data").textContent);
  localTimes();
  breakNames();
  document.documentElement.dataset.ready = "";
}
