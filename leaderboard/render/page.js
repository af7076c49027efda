// Everything here only adds to the static table: sorting, search, filters, another baseline, drawers, and the
// state of all of it in the address. Texts of records are set as text, never as HTML.
const packed = Uint8Array.from(atob(document.getElementById("data").textContent), (letter) => letter.charCodeAt(0));
const data = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
const table = document.getElementById("scores");
const bar = document.querySelector(".bar");
const status = document.querySelector(".status");
const heads = [...table.tHead.rows[0].cells];
const last = heads.length - 1; // hidden: 0 for rows that are ranked, 1 for those below them
const firstScore = last - data.columns.length;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

// Table: gaps come last in both directions; rows that are not ranked stay below the ranked ones.
const gapsLast = (sign) => (a, b) => (a === "") - (b === "") || sign * (a - b);
DataTable.type("score", { order: { asc: gapsLast(1), desc: gapsLast(-1) } });
DataTable.ext.errMode = "throw";
window.DataTable = DataTable; // for the console, and to measure how fast it sorts
const paged = data.rows.length > Number(table.dataset.page);
table.dataset.view = "score";
const board = new DataTable(table, {
  autoWidth: false,
  order: [],
  orderFixed: { pre: [[last, "asc"]] },
  paging: paged,
  pageLength: Number(table.dataset.page),
  deferRender: true,
  layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: paged ? "paging" : null },
  columnDefs: [
    { targets: last, visible: false, searchable: false },
    ...heads.slice(1, last).map((head, place) => ({
      targets: place + 1,
      type: "score",
      searchable: false,
      orderSequence: head.dataset.first === "desc" ? ["desc", "asc"] : ["asc", "desc"],
    })),
  ],
});

// State: what is chosen, as it stands in the address. Names, not positions, so that links outlive a new board.
const chosen = { rows: new Set(data.rows.keys()), columns: new Set(data.columns.keys()) };
const fields = bar.elements;
const start = { base: data.baseline ?? "", view: "score", q: "", arch: "", data: "", task: "" };
let opened = null; // [row, column] of the drawer; column -1 for the row itself

function writeState() {
  const state = new URLSearchParams();
  for (const name of Object.keys(start)) {
    if (fields[name] && fields[name].value !== start[name]) state.set(name, fields[name].value);
  }
  for (const kind of ["rows", "columns"]) {
    const all = data[kind], kept = all.filter((_, place) => chosen[kind].has(place));
    if (kept.length === all.length) continue;
    const without = kept.length > all.length / 2;
    for (const entry of without ? all.filter((_, place) => !chosen[kind].has(place)) : kept) {
      state.append(without ? `without-${kind}` : kind, entry.name);
    }
    if (!kept.length) state.append(kind, "");
  }
  const order = board.order().filter(([place]) => place !== last)[0];
  if (order && order[1]) state.set("sort", `${order[1]} ${heads[order[0]].dataset.name ?? "arm"}`);
  if (paged && board.page()) state.set("page", board.page() + 1);
  if (opened) {
    state.set("row", data.rows[opened[0]].name);
    if (opened[1] >= 0) state.set("cell", data.columns[opened[1]].name);
  }
  const text = state.toString();
  if (!text && !location.hash.includes("=")) return;
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  bar.querySelector(".permalink").href = text ? `#${text}` : "#measured";
}

function readState() {
  if (location.hash && !location.hash.includes("=")) return; // an anchor of a section
  const state = new URLSearchParams(location.hash.slice(1)), unknown = [];
  for (const [name, first] of Object.entries(start)) {
    if (!fields[name]) continue;
    fields[name].value = state.get(name) ?? first;
    if (fields[name].value !== (state.get(name) ?? first)) {
      unknown.push(state.get(name));
      fields[name].value = first;
    }
  }
  for (const kind of ["rows", "columns"]) {
    const places = new Map(data[kind].map((entry, place) => [entry.name, place]));
    const named = (list) => new Set(list.filter(Boolean).flatMap((name) => {
      if (!places.has(name)) unknown.push(name);
      return places.has(name) ? [places.get(name)] : [];
    }));
    const without = named(state.getAll(`without-${kind}`));
    chosen[kind] = state.has(kind) ? named(state.getAll(kind)) :
      new Set([...data[kind].keys()].filter((place) => !without.has(place)));
  }
  const [, direction, sorted] = /^(asc|desc) (.*)$/.exec(state.get("sort") ?? "") ?? [];
  const place = heads.findIndex((head) => (head.dataset.name ?? "arm") === sorted);
  board.order(place >= 0 ? [[place, direction]] : []);
  const row = data.rows.findIndex((entry) => entry.name === state.get("row"));
  const column = data.columns.findIndex((entry) => entry.name === state.get("cell"));
  if (state.get("row") && row < 0) unknown.push(state.get("row"));
  if (state.get("cell") && column < 0) unknown.push(state.get("cell"));
  apply(unknown);
  if (paged && state.has("page")) board.page(Math.max(0, Number(state.get("page")) - 1) || 0).draw("page");
  if (row >= 0 && (!state.get("cell") || column >= 0)) open(row, column);
  else if (drawer.open) drawer.close();
}

// Filters
const visible = data.columns.map(() => true);
board.search.fixed("bar", (_text, _cells, index) => {
  const row = data.rows[index];
  return chosen.rows.has(index) && (!fields.arch?.value || row.arch === fields.arch.value) &&
    (!fields.data?.value || row.data === fields.data.value);
});

function apply(unknown = []) {
  board.search(fields.q.value);
  data.columns.forEach((column, place) => {
    const shown = chosen.columns.has(place) && (!fields.task?.value || column.task === fields.task.value);
    if (shown !== visible[place]) board.column(firstScore + place).visible(shown, false);
    visible[place] = shown;
  });
  table.dataset.view = fields.view.value;
  board.draw();
  for (const kind of ["rows", "columns"]) {
    fields[kind].querySelectorAll("input").forEach((box, place) => { box.checked = chosen[kind].has(place); });
  }
  say(unknown);
  writeState();
}

function say(unknown) {
  const rows = board.rows({ search: "applied" }).count();
  const columns = visible.filter(Boolean).length;
  const words = [`${rows} of ${data.rows.length} rows, ${columns} of ${data.columns.length} columns.`];
  if (rows < data.rows.length || columns < data.columns.length) {
    words.push("Ranks, best marks and corrected p values are those of the whole board.");
  }
  const base = fields.base.value;
  if (base && base !== data.baseline) {
    words.push(data.others.length ? `Differences are to ${base}, their p values corrected over all differences to it; ` +
      "the text around the table and the plots stay those of the build." :
      `Differences to ${base} are plain differences of means, without intervals or tests: a page of more than ` +
      `${data.most_compared} rows has those of its own baseline alone. To get them: ` +
      `mmbench leaderboard build RESULTS --out board --baseline ${quoted(base)}`);
  }
  status.replaceChildren(words.join(" "));
  if (unknown.length) {
    status.append(element("span", { class: "warning" }, ` The address names what this board does not have: ${unknown.join(", ")}.`));
  }
}

// Another baseline: the differences that the build computed, or on a page of many rows those of the cells' means,
// without the tests that only the build can do. Cells are written when they are drawn: `written` knows what a
// cell shows, `built` what the build wrote there.
const written = new WeakMap(), built = new WeakMap();

function chosenBase() {
  return data.rows.findIndex((row) => row.name === fields.base.value);
}

function showDifferences() {
  const name = fields.base.value, own = name === (data.baseline ?? ""), base = chosenBase();
  const shown = [...data.columns.keys()].filter((place) => visible[place]);
  for (const line of table.tBodies[0].rows) {
    const row = Number(line.dataset.r);
    line.classList.toggle("is-base", row === base && !own);
    shown.forEach((place, at) => {
      const node = line.cells[firstScore + at];
      const cell = data.cells[row]?.[place];
      if (!cell || (written.get(node) ?? data.baseline ?? "") === name) return;
      let span = node.querySelector(":scope > span");
      if (!built.has(node)) built.set(node, span);
      span?.remove();
      span = own ? built.get(node) : differenceSpan(differenceTo(base, row, place));
      if (span) node.querySelector(":scope > small").before(span, " ");
      written.set(node, name);
    });
  }
}

function differenceSpan([kind, value, interval]) {
  return element("span", { class: kind }, value, ...(interval ? [" ", element("small", {}, interval)] : []));
}

// The difference of a cell to any row, as [classes, value, interval, test]. Drawers take it from here too, never
// from a cell of the table: a cell that is not drawn still shows the difference to an earlier baseline.
function differenceTo(base, row, place) {
  const none = ["even", "", "", null];
  if (base < 0) return none;
  if (data.rows[base].name === data.baseline) return data.cells[row][place][4] ?? none;
  if (data.others.length) return data.others[base][row][place] ?? none;
  const other = row === base ? null : data.cells[base][place];
  return other ? ["even", difference(data.cells[row][place][0] - other[0], data.columns[place].unit), "", null] : none;
}

// As the build writes differences: of 13 significant digits, halves away from zero, a typographic minus.
function difference(value, unit) {
  const decimals = data.decimals[unit];
  const size = Number(Math.abs(value).toPrecision(13));
  const text = String(size).includes("e") ? size.toFixed(20) : String(size);
  const [whole, rest = ""] = text.split(".");
  const padded = rest.padEnd(decimals + 1, "0");
  let digits = BigInt(whole + padded.slice(0, decimals));
  if (padded[decimals] >= "5") digits += 1n;
  const all = digits.toString().padStart(decimals + 1, "0");
  const sign = value < 0 && digits ? "−" : "+";
  return sign + (decimals ? `${all.slice(0, -decimals)}.${all.slice(-decimals)}` : all);
}

// The filter bar
for (const kind of ["rows", "columns"]) {
  const menu = fields[kind].closest("details");
  const box = (text, checked) => element("label", {}, Object.assign(element("input", { type: "checkbox" }), { checked }), text);
  menu.addEventListener("toggle", () => {
    if (!menu.open || fields[kind].querySelector("label")) return;
    data[kind].forEach((entry, place) => {
      const label = box(kind === "rows" ? entry.name : `${entry.label} (${entry.protocol}, ${entry.dataset})`, chosen[kind].has(place));
      label.firstChild.addEventListener("change", (event) => {
        chosen[kind][event.target.checked ? "add" : "delete"](place);
        apply();
      });
      fields[kind].append(label);
    });
    for (const [word, places] of [["all", [...data[kind].keys()]], ["none", []]]) {
      const button = element("button", { type: "button" }, word);
      button.addEventListener("click", () => { chosen[kind] = new Set(places); apply(); });
      fields[kind].querySelector("legend").append(" ", button);
    }
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}
document.addEventListener("click", (event) => {
  bar.querySelectorAll("details[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
});
bar.addEventListener("submit", (event) => event.preventDefault());
bar.addEventListener("input", (event) => { if (event.target.name) apply(); });
bar.addEventListener("reset", () => setTimeout(() => {
  chosen.rows = new Set(data.rows.keys());
  chosen.columns = new Set(data.columns.keys());
  fields.base.value = start.base;
  board.order([]);
  apply();
}));
board.on("order.dt page.dt", () => setTimeout(writeState));

// Cells: one stop of the tab key, arrow keys within, Enter opens the drawer.
table.setAttribute("role", "grid");
let current = null;

function makeCurrent(cell, focus) {
  current?.setAttribute("tabindex", "-1");
  current = cell;
  cell.setAttribute("tabindex", "0");
  if (focus) cell.focus();
}

function cellsReady() {
  const order = new Map(board.order()); // the order of ranked before unranked rows is no one's choice
  heads.forEach((head, place) => {
    const direction = place === last ? undefined : order.get(place);
    if (direction) head.setAttribute("aria-sort", `${direction}ending`);
    else head.removeAttribute("aria-sort");
  });
  showDifferences();
  for (const row of table.tBodies[0].rows) for (const cell of row.cells) cell.tabIndex = -1;
  const first = table.tBodies[0].rows[0]?.cells[0];
  if (first && !table.tBodies[0].contains(current)) current = null;
  if (first) makeCurrent(current ?? first, false);
}
board.on("draw", cellsReady);

function openAt(cell) {
  const place = board.cell(cell).index();
  if (!place) return;
  const column = place.column - firstScore;
  if (column < 0) open(place.row, -1);
  else if (data.cells[place.row][column]) open(place.row, column);
}
table.tBodies[0].addEventListener("click", (event) => {
  const cell = event.target.closest("td, th");
  if (!cell || String(getSelection())) return;
  makeCurrent(cell, true);
  openAt(cell);
});
table.tBodies[0].addEventListener("keydown", (event) => {
  const cell = event.target.closest("td, th");
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    openAt(cell);
    return;
  }
  const row = cell.parentNode, at = cell.cellIndex;
  const next = {
    ArrowLeft: cell.previousElementSibling, ArrowRight: cell.nextElementSibling,
    ArrowUp: row.previousElementSibling?.cells[at], ArrowDown: row.nextElementSibling?.cells[at],
    Home: row.cells[0], End: row.cells[row.cells.length - 1],
  }[event.key];
  if (next === undefined && !event.key.startsWith("Arrow")) return;
  event.preventDefault();
  if (next) makeCurrent(next, true);
});

// The drawer
const drawer = document.querySelector(".drawer");
drawer.querySelector(".close").addEventListener("click", () => drawer.close());
drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });
drawer.addEventListener("close", () => {
  opened = null;
  writeState();
  current?.focus();
});

function facts(pairs) {
  const list = element("dl");
  for (const [term, detail] of pairs) {
    if (detail !== null && detail !== "") list.append(element("dt", {}, term), element("dd", {}, detail));
  }
  return list;
}

function open(row, column) {
  opened = [row, column];
  const body = drawer.querySelector(".drawer-body");
  const named = data.rows[row].name;
  document.getElementById("drawer-title").textContent = column < 0 ? named : `${named}: ${data.columns[column].label}`;
  body.replaceChildren(...(column < 0 ? rowDetails(row) : cellDetails(row, column)));
  writeState();
  body.append(element("p", {}, element("a", { href: location.hash }, column < 0 ? "link to this row" : "link to this cell")));
  if (!drawer.open) drawer.showModal();
  drawer.scrollTop = 0;
  document.getElementById("drawer-title").focus();
}

function rowDetails(row) {
  const costs = document.querySelector("#costs");
  const terms = [...costs.tHead.rows[0].cells], values = costs.tBodies[0].rows[row].cells;
  const inBoard = heads.slice(1, firstScore).map((head, place) =>
    [head.textContent.trim(), board.cell(row, place + 1).node().textContent.trim()]);
  const scores = data.columns.map((column, place) => [column.label, data.cells[row][place] && cellWords(row, place)]);
  return [facts([...inBoard, ...terms.slice(1).map((term, place) => [term.textContent, values[place + 1].textContent])]),
    element("h3", {}, "Scores"), facts(scores)];
}

// All of a cell on one line, with the difference to the chosen baseline.
function cellWords(row, place) {
  const copy = board.cell(row, firstScore + place).node().cloneNode(true);
  copy.querySelector(":scope > span")?.remove();
  copy.querySelector(":scope > small").before(differenceSpan(differenceTo(chosenBase(), row, place)), " ");
  return copy.textContent.replace(/\s+/g, " ").trim();
}

function cellDetails(row, place) {
  const column = data.columns[place], [, rank, count, runs] = data.cells[row][place];
  const node = board.cell(row, firstScore + place).node();
  const part = (selector) => node.querySelector(selector)?.textContent.replace(/\s+/g, " ").trim() ?? "";
  const [, value, interval, test] = differenceTo(chosenBase(), row, place);
  const shown = [
    element("p", { class: "value" }, [part(":scope > b"), part(":scope > i:not(.ci)")].join(" ")),
    facts([
      ["95% interval", part(".ci") || "none: the runs do not allow one"],
      ["runs", part(":scope > small")],
      ["rank in the column", node.classList.contains("best") ? `${rank}, none is better beyond chance` : String(rank)],
      [`difference to ${fields.base.value}`, `${value} ${interval}`.trim()],
      ["how it was tested", test ? `${data.texts[test[2]]}${test[3] ? ", paired" : ""}` : ""],
      ["p", test?.[0] ?? ""],
      ["p, corrected by Holm", test?.[1] ?? ""],
      ["protocol", column.protocol],
      ["data set", column.dataset],
    ]),
    foldable("protocol values, learning rate, notes", document.querySelector(`#column-${CSS.escape(column.name)} dl`).cloneNode(true)),
    element("h3", {}, count === 1 ? "The run" : `The ${count} runs`),
  ];
  if (runs.length < count) shown.push(element("p", { class: "legend" }, `${runs.length} of them are here; runs.csv has all.`));
  shown.push(...runs.map((run) => runDetails(run, row, place, runs.length <= 3)));
  return shown;
}

function runDetails(run, row, place, unfolded) {
  const [value, interval, pretrained, seed, weights, folder, name, labels, created, provenance, rate, wall, compute, files] = run;
  const text = (index) => data.texts[index];
  const stem = name.replace(/\.json$/, "");
  const linked = (file, words) => data.records === null ? element("code", {}, words) :
    element("a", { href: `${data.records}/${(text(folder) + file).split("/").map(encodeURIComponent).join("/")}` }, words);
  const beside = element("span");
  files.map((file) => file.replace(/^\*/, stem)).forEach((file) => beside.append(linked(file, file.slice(stem.length + 1) || file), " "));
  const details = element("details", { class: "run" },
    element("summary", {}, element("b", {}, value), [pretrained === null ? null : `pretraining seed ${pretrained}`, `seed ${seed}`].filter(Boolean).join(", ")),
    facts([
      ["95% interval", interval && `${interval}, over images`],
      ["record", name && linked(name, text(folder) + name)],
      ["beside it", files.length ? beside : ""],
      ["weights", text(weights)],
      ["labels", text(labels)],
      ["measured", text(created)],
      ["learning rate", rate],
      ["wall time", wall],
      ["computing time", compute],
    ]),
    foldable("code, machine, package versions", facts(data.provenances[provenance] ?? [])),
    ...reproduction(text(folder) + name, data.rows[row], data.columns[place]));
  details.open = unfolded;
  return details;
}

function foldable(title, content) {
  return element("details", { class: "run" }, element("summary", {}, title), content);
}

// A text as one word of a shell.
function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
}

// How to measure a record again: a command for a shell, and what else it takes.
function reproduction(record, row, column) {
  let path = record.startsWith("-") ? `./${record}` : record, where = " in the folder that the record's path begins in";
  if (data.records !== null) {
    const address = `${data.records}/${record.split("/").map(encodeURIComponent).join("/")}`;
    const local = location.protocol === "file:"; // then the page knows where it lies
    path = decodeURIComponent(local ? new URL(address, location.href).pathname : address);
    where = local ? "" : " in the folder of this page";
  }
  const more = ["--data or --data-root where the images are not below data/", ...column.needs];
  if (!row.control) more.unshift("--checkpoint where no run folder beside the results holds the weights");
  return [
    element("p", { class: "legend" }, `To measure it again and compare, run${where}:`),
    element("pre", {}, `mmbench reproduce ${quoted(path)}`),
    element("p", { class: "legend" }, `Add ${more.join("; ")}.`),
  ];
}

// Print: all rows, everything unfolded; afterwards as it was.
let folded = [];
addEventListener("beforeprint", () => {
  if (paged) board.page.len(-1).draw();
  folded = [...document.querySelectorAll("main details:not([open], .menu)")];
  folded.forEach((details) => { details.open = true; });
  data.columns.forEach((column, place) => {
    board.column(firstScore + place).nodes().each((node) => { node.dataset.label = column.label; });
  });
});
addEventListener("afterprint", () => {
  if (paged) board.page.len(Number(table.dataset.page)).draw();
  folded.forEach((details) => { details.open = false; });
});

bar.hidden = status.hidden = false;
addEventListener("hashchange", readState);
if (location.hash.includes("=")) readState();
else apply();
