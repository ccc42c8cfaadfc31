"use strict";

// Elements are made of texts only: no text of the data is ever parsed as HTML.
const find = (id) => document.getElementById(id);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

const draw = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const bidi = (text) => make("bdi", {}, text);

// A name, which may break after the marks between its words.
const label = (text) => make("bdi", {}, ...text.split(/(?<=[._])/).flatMap((part, number) => (number ? [make("wbr"), part] : [part])));

const icon = (outcome) =>
  draw("svg", { class: `icon ${outcome}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, draw("use", { href: `#icon-${outcome}` }));

function chip(status) {
  return status ? make("span", { class: `chip ${status[1]}` }, icon(status[1]), make("span", {}, status[0])) : make("span", { class: "quiet" }, "not run");
}

function breakNames() {
  for (const name of document.querySelectorAll("bdi.name")) name.replaceWith(label(name.textContent));
}

// Shows times in the time zone of the reader, and in UTC as their title.
function localTimes() {
  const format = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });
  const zone = new Intl.DateTimeFormat("en", { timeZoneName: "short" });
  for (const time of document.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (time.title || Number.isNaN(moment.getTime())) continue;
    const { value } = zone.formatToParts(moment).find((part) => part.type === "timeZoneName");
    time.title = time.textContent;
    time.textContent = `${format.format(moment)} ${value}`;
  }
}

function duration(seconds) {
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const pad = (number) => String(number).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${pad(Math.floor(whole / 60) % 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor(whole / 3600) % 24} h`;
}

// The page's data, and what its reader has chosen, which a live page keeps.
const page = { data: null, nodes: [], details: null, timeline: null };
const chosen = {
  zoom: 1, onlyCritical: false, view: null, scale: 1, search: "", match: 0,
  filter: "", status: "", type: "", sort: 2, descending: false, shown: 100, node: null, id: null, state: "",
};

function read() {
  const data = JSON.parse(find("data").textContent);
  page.data = data;
  page.nodes = data.nodes.map(([name, type, folder, status, last, tests, parents], number) => ({
    number, name, parents, last, tests,
    type: data.types[type][0], folder: data.folders[folder][0], package: data.folders[folder][1],
    status: status < 0 ? null : data.statuses[status],
    execution: last < 0 ? null : data.executions[last],
    children: [],
  }));
  for (const node of page.nodes) for (const parent of node.parents) page.nodes[parent].children.push(node.number);
  page.details = null;
}

// Outcomes, the worst first, with their words.
const WORDS = { bad: "failed", warn: "warned", skipped: "skipped", active: "running", unknown: "other", good: "succeeded", idle: "nothing to do" };
const ORDER = Object.keys(WORDS);

const outcome = (node) => (node.status ? node.status[1] : "unknown");
const statusText = (node) => (node.status ? node.status[0] : page.data.absent);
const seconds = (node) => (node.execution ? node.execution[4] : 0);

function showTip(lines, x, y) {
  const tip = find("tip");
  tip.replaceChildren(...lines.map((line) => make("div", {}, bidi(line))));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 8))}px`;
  tip.style.top = `${Math.max(4, y + 18 + box.height > innerHeight ? y - box.height - 10 : y + 18)}px`;
}

const hideTip = () => { find("tip").hidden = true; };

function tipOf(number, execution = page.nodes[number].execution) {
  const node = page.nodes[number];
  const status = execution ? page.data.statuses[execution[2]][0] : statusText(node);
  const lines = [node.name, `${node.type.replace("_", " ")} · ${status}${execution ? ` · ${duration(execution[4])}` : ""}`];
  if (node.tests) lines.push(node.tests === "bad" ? "A test of it failed." : "A test of it warned.");
  return lines;
}
