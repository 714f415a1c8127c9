// The list of runs: filters, order, pages, and how cost and time are distributed.

let controls;
function drawFilters() {
  const distinct = (values) => [...new Set(values)].filter((value) => value !== "").sort();
  const select = (key, label, options) => {
    const element = h("select", { onchange: () => filter({ [key]: element.value === "" ? null : options[Number(element.value)] }) },
      h("option", { value: "" }, "All"), options.map((option, i) => h("option", { value: String(i) }, visible(option).toString() === option ? option : option.replace(HIDDEN_ALL, "\ufffd"))));
    return { key, element, options, node: h("label", { class: "field" }, h("span", {}, label), element) };
  };
  const selects = [
    select("scenario", "Scenario", distinct(rows.map((row) => row.scenario))),
    select("provider", "Provider", distinct(rows.map((row) => row.provider))),
    select("tool", "Tool", distinct(data.tools)),
    select("tag", "Tag", distinct(data.tags)),
    select("mark", "Marked", ["new failure", "fixed", "flaky"].filter((mark) => rows.some((row) => row.marks.includes(mark)))),
  ].filter((each) => each.options.length);
  const statuses = data.statuses.filter((status) => rows.some((row) => row.status === status)).map((status) => {
    const input = h("input", { type: "checkbox", value: status, onchange: () => filter({ status: statuses.filter((each) => each.input.checked).map((each) => each.input.value).join(",") }) });
    const count = rows.filter((row) => row.status === status && !row.superseded).length;
    return { input, node: h("label", { class: "chip" }, input, h("span", {}, h("span", { "aria-hidden": "true" }, `${SIGN[status]} `), `${status} `, h("span", { class: "soft" }, whole(count)))) };
  });
  let waiting;
  const q = h("input", { type: "search", id: "q", autocomplete: "off", spellcheck: "false", oninput: () => { clearTimeout(waiting); waiting = setTimeout(() => filter({ q: q.value }), 180); } });
  const within = h("input", { type: "checkbox", id: "within", onchange: () => filter({ in: within.checked ? "1" : "" }) });
  const old = rows.some((row) => row.superseded) ? h("input", { type: "checkbox", id: "superseded", onchange: () => filter({ superseded: old.checked ? "1" : "" }) }) : null;
  $("filters").replaceChildren(
    h("div", { class: "filter-row" },
      h("label", { class: "field search" }, h("span", {}, "Search in names, reasons, and messages"), q),
      h("label", { class: "check" }, within, "within messages"),
      old && h("label", { class: "check" }, old, "superseded attempts"),
      h("button", { type: "button", id: "clear", onclick: () => { q.value = ""; filter({ ...DEFAULTS, sort: state.sort }); q.focus(); } }, "Clear")),
    h("div", { class: "filter-row" }, h("fieldset", {}, h("legend", {}, "Status"), h("div", { class: "chips" }, statuses.map((each) => each.node))), selects.map((each) => each.node)),
    h("p", { class: "progress", id: "progress" }));
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  controls = { q, within, old, selects, statuses };
}
function syncFilters() {
  if (document.activeElement !== controls.q) controls.q.value = state.q;
  controls.within.checked = state.in === "1";
  if (controls.old) controls.old.checked = state.superseded === "1";
  const wanted = state.status.split(",");
  for (const each of controls.statuses) each.input.checked = wanted.includes(each.input.value);
  for (const each of controls.selects) each.element.value = state[each.key] === null ? "" : String(each.options.indexOf(state[each.key]));
}

const SORTS = {
  status: (a, b) => a.rank - b.rank, run: (a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0), scenario: (a, b) => (a.scenario < b.scenario ? -1 : a.scenario > b.scenario ? 1 : 0),
  provider: (a, b) => (a.provider < b.provider ? -1 : a.provider > b.provider ? 1 : 0), turns: (a, b) => a.turns - b.turns, tools: (a, b) => a.toolCalls - b.toolCalls,
  tokens: (a, b) => a.tokens - b.tokens, cost: (a, b) => a.cost - b.cost, time: (a, b) => a.ms - b.ms,
};
function passes(row) {
  return (!row.superseded || state.superseded === "1") && (state.status === "" || state.status.split(",").includes(row.status)) &&
    (state.scenario === null || row.scenario === state.scenario) && (state.provider === null || row.provider === state.provider) &&
    (state.tool === null || Object.hasOwn(row.calls, state.tool)) && (state.tag === null || row.tags.includes(state.tag)) && (state.mark === null || row.marks.includes(state.mark));
}
const named = (row, needle) => `${row.id}\n${row.stem}\n${row.scenario}\n${row.provider}\n${row.region}\n${row.why}\n${row.tags.join("\n")}\n${Object.keys(row.calls).join("\n")}`.toLowerCase().includes(needle);

function refresh() {
  const needle = state.q.trim().toLowerCase();
  const kept = rows.filter((row) => passes(row) && (!needle || named(row, needle) || found?.has(row.stem)));
  const [key, direction] = (state.sort || "status").split("-");
  const compare = SORTS[key] ?? SORTS.status, turn = direction === "down" ? -1 : 1;
  listed = kept.sort((a, b) => turn * compare(a, b) || a.order - b.order);
  const total = rows.filter((row) => !row.superseded || state.superseded === "1").length;
  $("count").textContent = listed.length === total ? plural(total, "run") : `${whole(listed.length)} of ${plural(total, "run")}`;
  drawPlots();
  drawList();
}

function drawList() {
  const pages = Math.max(1, Math.ceil(listed.length / PAGE));
  const page = Math.min(pages, Math.max(1, Number.parseInt(state.page, 10) || 1));
  const slice = printing ? listed.slice(0, 2000) : listed.slice((page - 1) * PAGE, page * PAGE);
  const [sortKey, direction] = (state.sort || "status").split("-");
  const head = (key, label, numeric) => {
    const active = sortKey === key;
    const down = active && direction === "down";
    return h("th", { scope: "col", class: numeric ? "num" : null, "aria-sort": active ? (down ? "descending" : "ascending") : null },
      h("button", { type: "button", "data-sort": key, onclick: () => { filter({ sort: active ? (down ? key : `${key}-down`) : numeric ? `${key}-down` : key }); $("list").querySelector(`[data-sort="${key}"]`).focus(); } },
        label, h("span", { "aria-hidden": "true" }, active ? (down ? " ↓" : " ↑") : "")));
  };
  if (!listed.length) { $("list").replaceChildren(h("p", { class: "nothing" }, "No run matches these filters.")); return; }
  const body = slice.map((row) => {
    const pick = h("input", { type: "checkbox", checked: picked.includes(row.stem), "aria-label": `Compare ${row.id}`, onchange: () => choose(row.stem, pick.checked) });
    const snippet = found?.get(row.stem);
    return h("tr", { "data-stem": row.stem },
      h("td", { class: "pick" }, pick),
      h("td", {}, pill(row.status)),
      h("td", { class: "run" }, h("a", { href: address({ run: row.stem, with: null, turn: null }) }, id(row.id)),
        row.marks.map((mark) => [" ", h("span", { class: `badge ${mark === "new failure" ? "bad" : mark === "fixed" ? "good" : ""}` }, mark)]),
        row.superseded && [" ", h("span", { class: "badge" }, "superseded")],
        row.why && h("p", { class: "why" }, name(row.why)),
        snippet && h("p", { class: "why" }, "… ", h("bdi", {}, visible(snippet[0]), h("mark", {}, visible(snippet[1])), visible(snippet[2])), " …"),
        row.tags.length > 0 && h("p", { class: "why" }, row.tags.map((tag) => [h("span", { class: "badge" }, name(tag)), " "]))),
      h("td", { class: "id" }, id(row.scenario)), h("td", { class: "id" }, id(row.provider)),
      h("td", { class: "num few" }, whole(row.turns)), h("td", { class: "num few", title: Object.entries(row.calls).map(([tool, count]) => `${tool} ${count}`).join(", ") || null }, whole(row.toolCalls)),
      h("td", { class: "num few" }, whole(row.tokens)), h("td", { class: "num" }, usd(row.cost)), h("td", { class: "num" }, time(row.ms)));
  });
  $("list").replaceChildren(
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "List of runs" },
      h("table", { class: "runs" }, h("caption", { class: "unseen" }, "Runs; the headings sort"),
        h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "pick" }, h("span", { class: "unseen" }, "Compare")), head("status", "Status"), head("run", "Run"), head("scenario", "Scenario"), head("provider", "Provider"),
          head("turns", "Turns", true), head("tools", "Calls", true), head("tokens", "Tokens", true), head("cost", "Cost", true), head("time", "Time", true))),
        h("tbody", {}, body))),
    pages > 1 && !printing && h("nav", { class: "pager", "aria-label": "Pages of runs" },
      h("span", { class: "soft" }, `${whole((page - 1) * PAGE + 1)} to ${whole(Math.min(listed.length, page * PAGE))} of ${whole(listed.length)}`),
      h("div", {}, [["First", 1], ["Previous", page - 1], ["Next", page + 1], ["Last", pages]].map(([label, target]) =>
        h("button", { type: "button", disabled: target < 1 || target > pages || target === page, onclick: () => { filter({ page: String(target) }); $("runs-title").scrollIntoView(); say(`Page ${target} of ${pages}`); } }, label)))) || "");
  mark(Math.min(current, listed.length - 1), false);
}
function mark(place, focus) {
  current = Math.max(0, place);
  for (const row of document.querySelectorAll("tr.current")) row.classList.remove("current");
  const page = Math.floor(current / PAGE) + 1;
  if (focus && String(page) !== state.page) filter({ page: String(page) });
  const row = document.querySelectorAll(".runs tbody tr")[current - (Number.parseInt(state.page, 10) - 1) * PAGE];
  if (!row || !focus) return;
  row.classList.add("current");
  row.querySelector("a").focus();
}

function histogram(label, values, show) {
  const sorted = values.toSorted ? values.toSorted(ascending) : [...values].sort(ascending);
  const top = sorted.at(-1) ?? 0;
  if (!top) return h("figure", { class: "plot" }, h("figcaption", {}, h("b", {}, label), h("span", {}, values.length ? "all zero" : "no runs")));
  // A few very long runs must not flatten all others: beyond twice the 98th percentile they share the last column.
  const limit = Math.min(top, 2 * quantile(sorted, 0.98) || top);
  const count = 40, bins = new Array(count).fill(0);
  for (const value of sorted) bins[Math.min(count - 1, Math.floor((value / limit) * count))]++;
  const high = Math.max(...bins), width = 400, height = 76;
  const x = (value) => String((Math.min(value, limit) / limit) * width);
  const median = quantile(sorted, 0.5), p95 = quantile(sorted, 0.95);
  const said = `median ${show(median)}, 95% within ${show(p95)}, most ${show(top)}`;
  return h("figure", { class: "plot" },
    h("figcaption", {}, h("b", {}, label), h("span", {}, said)),
    svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": `${label} of ${plural(values.length, "run")}: ${said}` },
      bins.map((runs, i) => runs > 0 && svg("rect", { class: "column", x: String((i * width) / count + 0.6), width: String(width / count - 1.2), y: String(height - Math.max(2, (runs / high) * (height - 6))), height: String(Math.max(2, (runs / high) * (height - 6))) },
        svg("title", {}, `${plural(runs, "run")}: ${show((i * limit) / count)} to ${i === count - 1 ? show(top) : show(((i + 1) * limit) / count)}`))),
      svg("line", { class: "axis", x1: "0", x2: String(width), y1: String(height), y2: String(height) }),
      svg("line", { class: "median", x1: x(median), x2: x(median), y1: "0", y2: String(height) }),
      svg("line", { class: "p95", x1: x(p95), x2: x(p95), y1: "0", y2: String(height) })),
    h("div", { class: "ends", "aria-hidden": "true" }, h("span", {}, "0"), h("span", {}, "solid: median, dashed: 95%"), h("span", {}, limit < top ? `${show(limit)} and more` : show(limit))));
}
function drawPlots() {
  $("plots").replaceChildren(histogram("Cost per run", listed.map((row) => row.cost), usd), histogram("Time per run", listed.map((row) => row.ms), time));
}
