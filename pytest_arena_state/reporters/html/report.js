// The report's page. Everything that a model said becomes a text node and nothing else: no markup is
// parsed, no address is followed, and the content security policy holds even where this script errs.
"use strict";
(() => {
  const PAGE = 100; // runs of the list that are shown at a time
  const FOLD = 6000; // characters of a text before it is folded
  const STEP = 60000; // characters that unfolding adds; laying out a megabyte at once takes seconds
  const UNBROKEN = 500; // characters without a space, for which breaking lines takes quadratic time
  const NAME = 1000; // characters of a name
  const MATRIX_ROWS = 12; // scenarios before the rest is folded
  const KEPT = 6; // blocks of conversations that stay decoded
  const SIGN = { passed: "✓", failed: "✗", error: "!", skipped: "–" };
  const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"];
  // Controls, and what turns the direction of text or cannot be seen: shown by name.
  const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/;
  const HIDDEN_ALL = new RegExp(HIDDEN.source, "g");
  const $ = (id) => document.getElementById(id);

  // --- making elements -----------------------------------------------------------------------

  const SVG = "http://www.w3.org/2000/svg";
  function fill(element, properties, children) {
    for (const [name, value] of Object.entries(properties || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "class") element.setAttribute("class", value);
      else if (name in element && typeof value !== "string" && !name.startsWith("aria")) element[name] = value;
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false && each !== ""));
    return element;
  }
  const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);
  const svg = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

  /** Text as nodes: what is hidden in it is made visible, and long runs without a space may break. */
  function visible(text) {
    text = String(text).replaceAll("\r\n", "\n");
    if (!HIDDEN.test(text)) return breakable(text);
    const nodes = [];
    let from = 0;
    for (const match of text.matchAll(HIDDEN_ALL)) {
      if (nodes.length > 4000) break; // enough to see that the text is made of these
      if (match.index > from) nodes.push(breakable(text.slice(from, match.index)));
      const code = match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      nodes.push(h("span", { class: "hidden-char" }, `U+${code}`));
      from = match.index + 1;
    }
    nodes.push(breakable(text.slice(from).replace(HIDDEN_ALL, "\ufffd")));
    return nodes;
  }
  function breakable(text) {
    if (text.length < UNBROKEN || !/\S{500}/.test(text)) return [text];
    const nodes = [];
    for (let from = 0; from < text.length; from += UNBROKEN) nodes.push(text.slice(from, from + UNBROKEN), h("wbr"));
    return nodes;
  }
  const capped = (text) => ((text = String(text)).length > NAME ? `${text.slice(0, NAME)}…` : text);
  /** A name, which must not turn the text around it. */
  const name = (text) => h("bdi", {}, visible(capped(text)));
  /** An id, which may break after the signs that join its parts. */
  const id = (text) => h("bdi", {}, capped(text).split(/(?<=[:/_.\-[])(?=[^:])/).map((piece, i) => [i > 0 && i < 60 ? h("wbr") : "", visible(piece)]));

  // --- numbers -------------------------------------------------------------------------------

  const whole = (value) => value.toLocaleString("en-US");
  const usd = (value) => (!value || Math.abs(value) >= 1 ? `$${(value || 0).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}` : Math.abs(value) >= 0.0001 ? `$${value.toFixed(4)}` : `$${Number(value.toPrecision(2))}`);
  function time(ms) {
    if (!ms) return "0 s";
    if (ms < 1) return `${Math.round(ms * 1000)} µs`;
    if (ms < 1000) return `${Math.round(ms)} ms`;
    if (ms < 120000) return `${(ms / 1000).toFixed(1)} s`;
    const seconds = Math.round(ms / 1000);
    const hours = Math.floor(seconds / 3600), minutes = Math.floor(seconds / 60) % 60;
    return hours ? `${hours} h ${String(minutes).padStart(2, "0")} min` : `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  }
  const percent = (share) => (share > 0 && share < 0.01 ? "<1%" : share > 0.99 && share < 1 ? ">99%" : `${Math.round(share * 100)}%`);
  const signed = (value) => `${value > 0 ? "+" : value < 0 ? "−" : "±"}${Math.abs(value)}`;
  const bytes = (count) => (count < 1024 ? `${count} bytes` : count < 1048576 ? `${Math.round(count / 1024)} KB` : `${(count / 1048576).toFixed(1)} MB`);
  const plural = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
  function quantile(sorted, share) {
    if (!sorted.length) return 0;
    const place = share * (sorted.length - 1), below = Math.floor(place);
    return sorted[below] + ((sorted[below + 1] ?? sorted[below]) - sorted[below]) * (place - below);
  }
  const ascending = (a, b) => a - b;
  const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : 0);
  function wilson(passed, total) {
    const z = 1.959963984540054, rate = passed / total, square = z * z;
    const centre = (rate + square / (2 * total)) / (1 + square / total);
    const reach = (z / (1 + square / total)) * Math.sqrt((rate * (1 - rate)) / total + square / (4 * total * total));
    return [passed ? Math.max(0, centre - reach) : 0, passed === total ? 1 : Math.min(1, centre + reach)];
  }

  // --- the data ------------------------------------------------------------------------------

  const parsed = document.readyState === "loading" ? new Promise((done) => addEventListener("DOMContentLoaded", done, { once: true })) : Promise.resolve();

  async function decode(id) {
    const text = $(id).textContent;
    let raw;
    if (Uint8Array.fromBase64) raw = Uint8Array.fromBase64(text);
    else {
      const binary = atob(text);
      raw = new Uint8Array(binary.length);
      for (let i = 0; i < binary.length; i++) raw[i] = binary.charCodeAt(i);
    }
    return new Response(new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  const chunks = new Map(); // number → promise of its lines; the oldest leaves first
  function chunk(number) {
    let lines = chunks.get(number);
    chunks.delete(number);
    lines ??= parsed.then(() => decode(`chunk-${number}`)).then((text) => text.split("\n"));
    chunks.set(number, lines);
    if (chunks.size > KEPT) chunks.delete(chunks.keys().next().value);
    return lines;
  }
  // A chunk has the frames of its runs, then as many lines with their texts; a frame names a text by its number.
  const frameOf = (lines, row) => lines[row.line];
  const textsOf = (lines, row) => lines[lines.length / 2 + row.line];
  function restore(value, texts) {
    if (typeof value === "string") return value[0] === "\x7f" ? texts[Number(value.slice(1))] : value;
    if (value && typeof value === "object") for (const key of Object.keys(value)) value[key] = restore(value[key], texts);
    return value;
  }
  const document_ = (lines, row) => restore(JSON.parse(frameOf(lines, row)), JSON.parse(textsOf(lines, row)));
  const load = async (row) => document_(await chunk(row.chunk), row);

  let data, rows, byStem;
  function unpack() {
    const tagged = (numbers) => numbers.map((number) => data.tags[number]);
    rows = data.rows.map((cells, order) => {
      const [stem, id, status, superseded, scenario, provider, region, cost, input, output, cached, ms, turns, tools, tags, why, inChunk, line] = cells;
      const calls = Object.create(null);
      for (let i = 0; i < tools.length; i += 2) calls[data.tools[tools[i]]] = tools[i + 1];
      return {
        order, stem, id: id || stem, status: data.statuses[status], rank: status, superseded: !!superseded, scenario: data.scenarios[scenario],
        provider: data.providers[provider], region: data.regions[region], cost, input, output, cached, tokens: input + output + cached, ms, turns, calls,
        toolCalls: Object.values(calls).reduce((sum, count) => sum + count, 0), tags: tagged(tags), why, chunk: inChunk, line, marks: [],
      };
    });
    delete data.rows;
    byStem = new Map(rows.map((row) => [row.stem, row]));
    for (const [mark, stems] of [["new failure", data.baseline?.new_failures], ["fixed", data.baseline?.fixed], ["flaky", data.flaky]])
      for (const stem of stems ?? []) byStem.get(stem)?.marks.push(mark);
  }

  // --- the state is the address --------------------------------------------------------------

  const DEFAULTS = { q: "", in: "1", status: "", scenario: null, provider: null, tool: null, tag: null, mark: null, superseded: "", sort: "", page: "1" };
  let state = {};
  let listed = []; // rows of the list, filtered and sorted
  let found = null; // for a search within messages: stem → snippet
  let current = 0; // the row that j and k move
  const picked = [];

  function read() {
    const given = new URLSearchParams(location.hash.slice(1));
    const next = { ...DEFAULTS };
    for (const key of Object.keys(DEFAULTS)) if (given.has(key)) next[key] = given.get(key);
    next.run = given.get("run");
    next.with = given.get("with");
    next.turn = given.get("turn");
    return next;
  }
  function address(changes) {
    const all = { ...state, ...changes };
    const given = new URLSearchParams();
    for (const key of ["run", "with", "turn", ...Object.keys(DEFAULTS)]) {
      const value = all[key];
      if (value !== null && value !== undefined && value !== (DEFAULTS[key] ?? null)) given.set(key, value);
    }
    return `#${given}`;
  }
  function filter(changes) {
    const target = address({ ...changes, page: changes.page ?? "1", run: null, with: null, turn: null });
    history.replaceState(null, "", target);
    show();
  }
  const say = (text) => { $("live").textContent = text; };

  // --- overview ------------------------------------------------------------------------------

  const pill = (status, text) => h("span", { class: `status ${status}` }, h("span", { "aria-hidden": "true" }, SIGN[status] ?? "?"), text ?? status);

  function drawTotals() {
    const counted = rows.filter((row) => !row.superseded);
    const by = Object.fromEntries(data.statuses.map((status) => [status, counted.filter((row) => row.status === status).length]));
    const times = rows.map((row) => row.ms).sort(ascending);
    const cost = rows.reduce((sum, row) => sum + row.cost, 0);
    const judged = counted.length - by.skipped;
    const line = h("p", { class: "headline" }, counted.length === 0 ? "No runs" : judged === 0 ? "All runs were skipped" : by.passed === judged ? (judged === 1 ? "The run passed" : `All ${whole(judged)} runs passed`) : `${whole(by.passed)} of ${plural(judged, "run")} passed`,
      h("small", {}, [plural(new Set(rows.map((row) => row.scenario)).size, "scenario"), plural(new Set(rows.map((row) => row.provider)).size, "provider")].join(", ")));
    let from = 0;
    const order = ["passed", "failed", "error", "skipped"];
    const bar = svg("svg", { class: "bar", viewBox: "0 0 1000 10", preserveAspectRatio: "none", role: "img", "aria-label": order.map((status) => `${by[status]} ${status}`).join(", ") },
      order.map((status) => {
        const width = counted.length ? (by[status] / counted.length) * 1000 : 0;
        const part = svg("rect", { class: status, x: String(from), y: "0", width: String(width), height: "10" });
        from += width;
        return part;
      }));
    const tile = (label, value, more) => h("div", { class: "tile" }, h("dt", {}, label), h("dd", {}, value, more && h("small", {}, more)));
    const superseded = rows.length - counted.length;
    const change = data.baseline;
    $("totals").replaceChildren(
      h("div", {}, line, bar),
      h("dl", { class: "tiles" },
        tile("Did not pass", whole(by.failed + by.error), by.error ? `${whole(by.failed)} failed, ${plural(by.error, "error")}` : null),
        (by.skipped || superseded) > 0 && tile("Skipped", whole(by.skipped), superseded ? `${whole(superseded)} superseded` : null),
        change && tile("New failures", whole(change.counts[0]), `${whole(change.counts[1])} fixed, ${whole(change.counts[2])} flaky`),
        change && change.pass_rate !== null && tile("Pass rate before", percent(change.pass_rate), { better: "better now", worse: "worse now", noise: "no more than noise", unknown: "too few to tell" }[change.evidence]),
        tile("Cost", usd(cost), `${usd(rows.length ? cost / rows.length : 0)} per run`),
        tile("Tokens", whole(rows.reduce((sum, row) => sum + row.tokens, 0)), `${whole(rows.reduce((sum, row) => sum + row.output, 0))} output`),
        tile("Time per run", time(quantile(times, 0.5)), `95% within ${time(quantile(times, 0.95))}`)));
  }

  function drawCompleteness() {
    const known = data.completeness;
    const pieces = [[known.crashed, "crashed worker"], [known.interrupted, "interrupted run"], [known.lost.length, "lost run"]].filter(([count]) => count).map(([count, noun]) => plural(count, noun));
    const troubles = Object.entries(known.troubles);
    const missing = data.baseline?.missing ?? [];
    if (!pieces.length && !troubles.length && !missing.length) return;
    $("completeness").hidden = false;
    $("completeness").replaceChildren(h("div", { class: "notice" },
      h("strong", {}, pieces.length ? `Not complete: ${pieces.join(", ")}` : troubles.length ? "Troubles while recording" : "Fewer than in the baseline"),
      h("ul", {},
        known.lost.slice(0, 20).map((entry) => h("li", {}, "lost: ", name(entry.what), ": ", name(entry.why))),
        troubles.slice(0, 20).map(([kind, count]) => h("li", {}, name(kind), count > 1 ? ` (${whole(count)} times)` : "")),
        missing.slice(0, 20).map(([scenario, provider]) => h("li", {}, "missing: ", name(scenario), " with ", name(provider))),
        missing.length > 20 && h("li", {}, `and ${whole(missing.length - 20)} more missing`))));
  }

  let cells, wholeMatrix = false;
  function gather() {
    cells = new Map();
    for (const row of rows) {
      const key = JSON.stringify([row.scenario, row.provider]);
      if (!cells.has(key)) cells.set(key, { scenario: row.scenario, provider: row.provider, runs: [] });
      cells.get(key).runs.push(row);
    }
    for (const cell of cells.values()) {
      const last = cell.runs.filter((row) => !row.superseded);
      cell.judged = last.filter((row) => row.status !== "skipped").length;
      cell.passed = last.filter((row) => row.status === "passed").length;
      cell.errors = last.filter((row) => row.status === "error").length;
      const trials = cell.runs.filter((row) => row.status !== "skipped");
      cell.trials = trials.length;
      cell.trialsPassed = trials.filter((row) => row.status === "passed").length;
      cell.flaky = cell.runs.some((row) => row.marks.includes("flaky"));
      cell.cost = mean(trials.map((row) => row.cost));
      cell.ms = quantile(trials.map((row) => row.ms).sort(ascending), 0.5);
      cell.status = !cell.judged ? "skipped" : cell.passed === cell.judged ? "passed" : cell.errors ? "error" : "failed";
    }
    for (const [scenario, provider, rate, evidence, cost, ms] of data.baseline?.cells ?? []) {
      const cell = cells.get(JSON.stringify([data.scenarios[scenario], data.providers[provider]]));
      if (cell) cell.before = { rate, evidence, cost, ms };
    }
  }

  /** pass^k: how likely k further trials are to pass all. */
  function passHat(passed, total, k) {
    let share = 1;
    for (let i = 0; i < k; i++) share *= Math.max(0, passed - i) / (total - i);
    return share;
  }
  function trialsOf(cell) {
    if (cell.trials < 2) return null;
    const range = wilson(cell.trialsPassed, cell.trials), k = Math.min(3, cell.trials);
    return `pass rate ${percent(cell.trialsPassed / cell.trials)} of ${cell.trials} trials, with 95% confidence between ${percent(range[0])} and ${percent(range[1])}; pass^${k} ${percent(passHat(cell.trialsPassed, cell.trials, k))}`;
  }

  function changeOf(cell) {
    const before = cell.before;
    if (!data.baseline) return null;
    if (!before) return "new";
    const rate = cell.trials ? cell.trialsPassed / cell.trials : null;
    const pieces = [];
    if (before.rate !== null && rate !== null && before.rate !== rate)
      pieces.push(`${signed(Math.round((rate - before.rate) * 100))} pts${before.evidence === "noise" ? " (noise)" : before.evidence === "worse" || before.evidence === "better" ? " (not noise)" : ""}`);
    for (const [label, old, now] of [["cost", before.cost, cell.cost], ["time", before.ms, cell.ms]])
      if (old && Math.abs(now / old - 1) >= 0.05) pieces.push(`${label} ${signed(Math.round((now / old - 1) * 100))}%`);
    return pieces.join(", ") || "unchanged";
  }

  function drawMatrix() {
    const providers = [...new Set(rows.map((row) => row.provider))].sort();
    const worst = new Map();
    for (const cell of cells.values()) worst.set(cell.scenario, Math.max(worst.get(cell.scenario) ?? 0, cell.judged ? 1 - cell.passed / cell.judged : 0));
    const scenarios = [...worst.keys()].sort((a, b) => worst.get(b) - worst.get(a) || (a < b ? -1 : 1));
    const shown = wholeMatrix ? scenarios : scenarios.slice(0, MATRIX_ROWS);
    const body = shown.map((scenario) => h("tr", {}, h("th", { scope: "row" }, id(scenario || "(none)")), providers.map((provider) => {
      const cell = cells.get(JSON.stringify([scenario, provider]));
      if (!cell) return h("td", {}, h("span", { class: "empty" }, h("span", { "aria-hidden": "true" }, "·"), h("span", { class: "unseen" }, "no runs")));
      const chosen = state.scenario === scenario && state.provider === provider;
      const change = changeOf(cell);
      return h("td", {}, h("button", {
        type: "button", "aria-pressed": String(chosen),
        title: trialsOf(cell),
        onclick: () => { filter(chosen ? { scenario: null, provider: null } : { scenario, provider }); $("runs-title").scrollIntoView(); },
      }, h("span", { class: `rate ${cell.status}` }, h("span", { "aria-hidden": "true" }, `${SIGN[cell.status]} `), cell.judged ? `${cell.judged >= 10 ? `${percent(cell.passed / cell.judged)}, ` : ""}${whole(cell.passed)}/${whole(cell.judged)}` : "skipped", cell.judged > 0 && h("span", { class: "unseen" }, " passed")), cell.flaky && h("span", { class: "badge" }, "flaky"),
      cell.judged > 1 && svg("svg", { class: "share", viewBox: "0 0 100 3", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("rect", { class: "passed", width: String((cell.passed / cell.judged) * 100), height: "3" })),
      cell.judged > 0 && h("span", { class: "more" }, `${usd(cell.cost)} · ${time(cell.ms)}`), change && h("span", { class: "more" }, change)));
    })));
    const left = scenarios.length - shown.length;
    $("matrix").replaceChildren(
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Matrix of scenarios and providers" },
        h("table", { class: "matrix" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Scenario"), providers.map((provider) => h("th", { scope: "col" }, name(provider || "(none)"))))), h("tbody", {}, body))),
      left > 0 && h("p", { class: "more-rows" }, h("button", { type: "button", onclick: () => { wholeMatrix = true; drawMatrix(); } }, `Show ${whole(left)} more scenarios`), " ", h("span", { class: "soft" }, "The worst come first.")) || "");
  }

  // --- filters -------------------------------------------------------------------------------

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
        h("td", { class: "num" }, whole(row.turns)), h("td", { class: "num", title: Object.entries(row.calls).map(([tool, count]) => `${tool} ${count}`).join(", ") || null }, whole(row.toolCalls)),
        h("td", { class: "num" }, whole(row.tokens)), h("td", { class: "num" }, usd(row.cost)), h("td", { class: "num" }, time(row.ms)));
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

  // --- plots ---------------------------------------------------------------------------------

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

  // --- search within messages ----------------------------------------------------------------

  function* texts(run) {
    for (const message of run.Messages) {
      if (message.content) yield message.content;
      if (message.reasoning?.text) yield message.reasoning.text;
      if (message.tool_result) { yield message.tool_result.content ?? ""; if (message.tool_result.error) yield message.tool_result.error; }
      for (const call of message.tool_calls ?? []) yield `${call.name} ${typeof call.args === "string" ? call.args : JSON.stringify(call.args)}`;
      for (const part of message.parts ?? []) if (part.text && part.text !== message.content) yield part.text;
    }
    yield run.Error;
    for (const result of run.conversation_assertions?.results ?? []) yield result.message ?? "";
  }
  function snippet(text, needle) {
    const at = text.toLowerCase().indexOf(needle);
    if (at < 0) return null;
    const flat = (piece) => piece.replace(/\s+/g, " ");
    return [flat(text.slice(Math.max(0, at - 60), at)), flat(text.slice(at, at + needle.length)), flat(text.slice(at + needle.length, at + needle.length + 80))];
  }

  let searching = 0, searched = "";
  async function search() {
    const needle = state.q.trim().toLowerCase();
    const wanted = state.in === "1" && needle.length >= 2 ? needle : "";
    if (wanted === searched) return;
    const mine = ++searching;
    searched = wanted;
    found = null;
    $("progress").textContent = "";
    if (!wanted) return;
    const hits = new Map();
    const written = JSON.stringify(needle).slice(1, -1);
    const members = new Map();
    for (const row of rows) { if (!members.has(row.chunk)) members.set(row.chunk, []); members.get(row.chunk).push(row); }
    let shownAt = performance.now();
    for (let number = 0; number < data.chunks; number++) {
      const lines = chunks.has(number) ? await chunks.get(number) : (await parsed, (await decode(`chunk-${number}`)).split("\n"));
      if (mine !== searching) return;
      for (const row of members.get(number) ?? []) {
        // The text of the JSON first: parsing is ten times slower than looking.
        if (!textsOf(lines, row).toLowerCase().includes(written) && !frameOf(lines, row).toLowerCase().includes(written)) continue;
        for (const text of texts(document_(lines, row))) {
          const hit = text && snippet(text, needle);
          if (hit) { hits.set(row.stem, hit); break; }
        }
      }
      if (performance.now() - shownAt > 300) {
        shownAt = performance.now();
        $("progress").textContent = `Searching messages: ${percent((number + 1) / data.chunks)}, ${plural(hits.size, "run")} so far`;
        found = hits;
        refresh();
        await new Promise((done) => setTimeout(done));
        if (mine !== searching) return;
      }
    }
    found = hits;
    $("progress").textContent = `Found within the messages of ${plural(hits.size, "run")}.`;
    refresh();
  }

  // --- one run -------------------------------------------------------------------------------

  let addresses = []; // blob: addresses of the images that are shown
  const json = (value) => JSON.stringify(value, null, 2) ?? "";

  function coloured(value) {
    const text = typeof value === "string" ? value : json(value);
    if (text.length > 20000 || typeof value === "string") return block(text);
    const pieces = [];
    let from = 0;
    for (const match of text.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/g)) {
      pieces.push(text.slice(from, match.index));
      const kind = match[1] ? (match[2] ? "key" : "text") : "number";
      pieces.push(h("span", { class: kind }, visible(match[1] ?? match[0])), match[2] ?? "");
      from = match.index + match[0].length;
    }
    return h("pre", { tabindex: "0" }, h("code", {}, pieces, text.slice(from)));
  }
  /** Fills an element with a text; a long one is folded, and unfolds piece by piece. */
  function long(text, element) {
    text = String(text);
    if (text.length <= FOLD * 1.2) return fill(element, {}, [visible(text)]);
    // Pieces end where a line does, else between two letters, never within one.
    const cut = (at) => {
      if (at >= text.length) return text.length;
      const line = text.lastIndexOf("\n", at) + 1;
      return line > at - 2000 ? line : /[\ud800-\udbff]/.test(text[at - 1]) ? at - 1 : at;
    };
    let shown = cut(FOLD);
    element.append(h("div", { class: "piece" }, visible(text.slice(0, shown))));
    const left = () => `Show more (${bytes(text.length - shown)} left)`;
    const more = h("button", { type: "button", class: "small", onclick: () => {
      const next = cut(shown + STEP);
      const piece = h("div", { class: "piece", tabindex: "-1" }, visible(text.slice(shown, next)));
      shown = next;
      element.append(piece);
      if (shown < text.length) more.textContent = left();
      else { more.remove(); piece.focus(); }
    } }, left());
    return h("div", { class: "fold-text" }, element, more);
  }
  const said = (text) => long(text, h("div", { class: "said", dir: "auto" }));
  const block = (text) => long(text, h("pre", { tabindex: "0", dir: "auto" }));
  function output(text) {
    // What is JSON is laid out as JSON.
    if (/^\s*[[{]/.test(text) && text.length < 200000) try { return coloured(JSON.parse(text)); } catch { /* it only looked like it */ }
    return said(text);
  }
  const fold = (label, ...content) => h("details", {}, h("summary", {}, label), content);

  function media(part) {
    const about = part.media ?? {};
    const size = about.size_kb ? about.size_kb * 1024 : about.data ? Math.floor((about.data.length * 3) / 4) : 0;
    const where = about.file_path ?? about.url ?? about.storage_reference;
    const facts = [part.type, about.mime_type, size ? bytes(size) : "", about.width && about.height ? `${about.width} × ${about.height}` : "", where ?? "", about.left_out ? `not shown: ${about.left_out}` : ""].filter(Boolean).join(", ");
    const caption = h("figcaption", {}, name(facts), about.caption && [": ", name(about.caption)]);
    const type = (about.mime_type ?? "").toLowerCase();
    let image = null;
    if (about.data && IMAGES.includes(type)) try {
      const binary = atob(about.data);
      const raw = Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
      const url = URL.createObjectURL(new Blob([raw], { type }));
      addresses.push(url);
      image = h("img", { src: url, alt: about.caption || `${part.type}, no description`, loading: "lazy" });
    } catch { caption.append(" (its data is not base64)"); }
    return h("figure", { class: "media" }, image, caption);
  }

  function checks(list) {
    return h("ul", { class: "checks" }, list.map(({ passed, label, text, details }) => h("li", {},
      h("span", { class: `sign ${passed ? "passed" : "failed"}`, "aria-hidden": "true" }, passed ? SIGN.passed : SIGN.failed),
      h("div", {}, h("span", { class: "unseen" }, passed ? "passed: " : "failed: "), h("b", {}, name(label)), text && [" ", text.includes("\n") || text.length > NAME ? block(text) : h("bdi", {}, visible(text))],
        details && Object.keys(details).length > 0 && fold("Details", coloured(details))))));
  }
  function turnAssertions(assertions) {
    const results = Array.isArray(assertions.results) ? assertions.results : null;
    if (!results) return [h("div", {}, checks([{ passed: assertions.passed !== false, label: "assertions", text: "", details: assertions }]))];
    return [checks(results.map((each) => ({ passed: each?.passed !== false, label: `assertion ${each?.type ?? ""}`, text: String(each?.message ?? ""), details: each?.details })))];
  }

  const spent = (message) => [message.latency_ms ? time(message.latency_ms) : "", message.cost_info ? `${whole(tokensOf(message.cost_info))} tokens` : "", message.cost_info?.total_cost_usd ? usd(message.cost_info.total_cost_usd) : ""].filter(Boolean);
  const tokensOf = (cost) => (cost.input_tokens || 0) + (cost.output_tokens || 0) + (cost.cached_tokens || 0);

  function callCard(call, answer) {
    const result = answer?.tool_result;
    return h("div", { class: "call", role: "group", "aria-label": `Call of ${call.name}` },
      h("header", {}, h("code", {}, name(call.name || "(no name)")), result?.latency_ms ? h("span", { class: "soft" }, time(result.latency_ms)) : null, result?.error ? pill("failed", "failed") : null, !answer && h("span", { class: "badge" }, "no result")),
      h("div", {}, h("span", {}, "arguments"), coloured(call.args)),
      answer && h("div", {}, h("span", {}, "result"), h("div", {}, resultOf(answer))));
  }
  function resultOf(message) {
    const result = message.tool_result;
    const text = message.content || result.content || "";
    return [text ? output(text) : !result.error && h("span", { class: "soft" }, "(nothing)"), result.error && h("p", { class: "failure" }, h("b", {}, "error: "), name(result.error)),
      [...(message.parts ?? []), ...(result.parts ?? [])].filter((part) => part.media).map(media), extras(message)];
  }
  function extras(message) {
    const { assertions, ...meta } = message.meta ?? {};
    return [message.validations?.length && checks(message.validations.map((each) => ({ passed: each.passed, label: `validation ${each.validator_type}`, text: "", details: each.details }))),
      assertions && typeof assertions === "object" && turnAssertions(assertions),
      Object.keys(meta).length > 0 && fold("Metadata", coloured(meta))].filter(Boolean);
  }

  function messageCard(message, answers, notes) {
    const tool = message.tool_result;
    const thought = message.reasoning;
    // Written for readers that know no parts; here the parts themselves are shown.
    const standing = / ?\[\d+ (?:image|audio file|video|document)\(s\)[^\]]*\]$/;
    const text = (message.media_summary ? (message.content ?? "").replace(standing, "") : message.content) || (message.parts ?? []).filter((part) => part.type === "text" && part.text).map((part) => part.text).join("\n");
    const role = message.role || "unknown";
    return h("article", { class: `message ${["system", "user", "assistant", "tool"].includes(role) ? role : "other"}`, "aria-label": `Message of ${role}` },
      h("div", { class: "who" }, h("b", {}, name(role)), tool && h("span", {}, name(tool.name)), spent(message).map((piece) => h("span", {}, piece)), message.finish_reason && h("span", {}, name(message.finish_reason))),
      h("div", { class: "body" },
        thought && h("details", { class: "reasoning" }, h("summary", {}, `Reasoning${thought.redacted ? " (redacted)" : ""}${thought.opaque?.length ? `, ${thought.opaque.length} sealed` : ""}`), thought.text ? said(thought.text) : h("p", { class: "soft" }, "Only its provider can read it.")),
        tool ? resultOf(message) : [text && said(text), (message.parts ?? []).filter((part) => part.media).map(media)],
        (message.tool_calls ?? []).map((call) => callCard(call, answers.get(call))),
        !tool && extras(message), notes));
  }

  /** Messages by turn, each call with its result. */
  function arrange(run) {
    const answers = new Map(), taken = new Set();
    run.Messages.forEach((message, place) => {
      for (const call of message.tool_calls ?? []) {
        const answer = call.id && run.Messages.findIndex((each, i) => i > place && !taken.has(i) && each.tool_result?.id === call.id);
        if (answer > 0) { taken.add(answer); answers.set(call, run.Messages[answer]); }
      }
    });
    const noted = new Map();
    for (const result of run.conversation_assertions?.results ?? [])
      for (const violation of result.violations ?? []) {
        const place = Math.max(0, Math.min(violation.turn_index, run.Messages.length - 1));
        noted.set(place, [...(noted.get(place) ?? []), { passed: result.passed, label: result.type || "assertion", text: violation.description, details: violation.evidence }]);
      }
    const turns = [];
    run.Messages.forEach((message, place) => {
      if (message.role === "user" || !turns.length) turns.push({ number: message.role === "user" ? turns.filter((turn) => turn.number).length + 1 : 0, cards: [], cost: 0, ms: 0, tokens: 0 });
      const turn = turns.at(-1);
      turn.cost += message.cost_info?.total_cost_usd ?? 0;
      turn.tokens += message.cost_info ? tokensOf(message.cost_info) : 0;
      turn.ms += (message.latency_ms ?? 0) + (message.tool_result?.latency_ms ?? 0);
      const notes = noted.has(place) && checks(noted.get(place));
      if (taken.has(place)) { if (notes) turn.cards.push(h("div", { class: "message" }, h("div", { class: "who" }, h("b", {}, "assertion")), notes)); return; }
      turn.cards.push(messageCard(message, answers, notes));
    });
    return turns;
  }
  function turnSection(turn, stem) {
    const facts = [turn.tokens ? `${whole(turn.tokens)} tokens` : "", turn.cost ? usd(turn.cost) : "", turn.ms ? time(turn.ms) : ""].filter(Boolean).join(" · ");
    const label = turn.number ? `Turn ${turn.number}` : "Before the first turn";
    return h("div", { role: "group", class: `turn${state.turn === String(turn.number) ? " aimed" : ""}`, "data-turn": String(turn.number), "aria-label": label },
      h("div", { class: "turn-head" }, h("h3", {}, stem ? h("a", { href: address({ run: stem, turn: String(turn.number) }) }, label) : label), facts && h("span", { class: "soft" }, facts)), turn.cards);
  }

  function verdict(run, row) {
    const results = run.conversation_assertions?.results ?? [];
    const outcome = results.find((each) => each.type === "pytest.outcome");
    if (row.status === "passed") return null;
    const title = { failed: "Why it failed", error: "Why it is an error", skipped: "Why it was skipped" }[row.status];
    const failed = results.filter((each) => !each.passed && each !== outcome);
    const text = row.status === "skipped" ? run.SkipReason || outcome?.message || "" : run.Error || (outcome && !outcome.passed ? outcome.message : "");
    return h("div", { role: "group", class: `verdict ${row.status}`, "aria-label": title },
      h("h3", {}, h("span", { "aria-hidden": "true" }, SIGN[row.status]), title),
      text && block(text),
      failed.length > 0 && checks(failed.map((each) => ({ passed: false, label: each.type || "assertion", text: each.message, details: each.details }))),
      !text && !failed.length && h("p", {}, name(row.why)),
      run.Error && outcome && !outcome.passed && outcome.message !== run.Error && fold("What pytest said", block(outcome.message)));
  }
  function ending(run, row) {
    const results = run.conversation_assertions?.results ?? [];
    const violations = run.Violations ?? [];
    if (!results.length && !violations.length) return null;
    return h("div", { class: "ending" }, h("h3", {}, "At the end"),
      checks(results.map((each) => ({ passed: each.passed, label: each.type || "assertion", text: each.message, details: each.details }))),
      violations.length > 0 && [h("h3", {}, plural(violations.length, "violation")), checks(violations.map((each) => ({ passed: false, label: each.type, text: [each.tool, each.detail === "{}" ? "" : each.detail].filter(Boolean).join(" ") })))],
      row.status !== "passed" && h("p", { class: "soft" }, h("a", { href: "#", onclick: (event) => { event.preventDefault(); document.querySelector(".verdict").scrollIntoView(); } }, "Back to why it did not pass")));
  }
  function facts(run, row) {
    const person = (role) => (role && typeof role === "object" ? [role.provider, role.model, role.region].filter(Boolean).join(" ") : role ? String(role) : "");
    const feedback = run.UserFeedback;
    const pairs = [["Scenario", row.scenario], ["Provider", row.provider], ["Region", row.region], ["Prompt pack", run.PromptPack], ["Persona", run.PersonaID], ["Assistant", person(run.AssistantRole)], ["User", person(run.UserRole)],
      ["Started", run.StartTime.startsWith("0001-") ? "" : run.StartTime.replace("T", " ").replace(/\.\d+/, "")], ["Time", row.ms ? time(row.ms) : ""], ["Tokens", `${whole(row.input)} in, ${whole(row.output)} out${row.cached ? `, ${whole(row.cached)} cached` : ""}`], ["Cost", usd(row.cost)],
      ["Tools", Object.entries(row.calls).map(([tool, count]) => `${tool} × ${count}`).join(", ")], ["Tags", row.tags.join(", ")], ["Feedback", feedback ? `${feedback.rating} of 5${feedback.comments ? `: ${feedback.comments}` : ""}` : ""], ["Recording", run.RecordingPath ?? ""]];
    return h("dl", { class: "facts" }, pairs.filter(([, value]) => value).map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, name(value)))));
  }
  const heading = (row) => h("div", { class: "run-title" }, pill(row.status), h("h2", { tabindex: "-1", id: "run-title" }, id(row.id)), row.superseded && h("span", { class: "badge" }, "superseded"), row.marks.map((mark) => h("span", { class: "badge" }, mark)));

  async function copy(text, what) {
    try { await navigator.clipboard.writeText(text); } catch {
      const area = h("textarea", { class: "unseen" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    say(`${what} copied`);
  }
  function copier(label, what, text) {
    const button = h("button", { type: "button", onclick: async () => { await copy(text(), what); button.textContent = "Copied"; setTimeout(() => { button.textContent = label; }, 1500); } }, label);
    return button;
  }

  function drawRun(run, row) {
    const place = listed.indexOf(row);
    const go = (offset, label) => { const target = listed[place + offset]; return h("button", { type: "button", id: label, disabled: place < 0 || !target, onclick: () => { location.hash = address({ run: target.stem, with: null, turn: null }); } }, label === "next" ? "Next" : "Previous"); };
    const alike = rows.filter((each) => each !== row && each.scenario === row.scenario).slice(0, 100);
    const other = h("select", { "aria-label": "Compare with", onchange: () => { if (other.value !== "") location.hash = address({ run: row.stem, with: alike[Number(other.value)].stem, turn: null }); } },
      h("option", { value: "" }, "Compare with…"), alike.map((each, i) => h("option", { value: String(i) }, `${SIGN[each.status]} ${each.provider}: ${each.id}`.replace(HIDDEN_ALL, "\ufffd"))));
    const copyJson = copier("Copy as JSON", "The run as JSON", () => json(run));
    copyJson.id = "copy-json";
    const { Params: params, Commit: commit, Labels: labels, eval_results: evals, trial_results: trials, A2AAgents: agents } = run;
    $("run-view").replaceChildren(
      h("nav", { class: "run-bar", "aria-label": "Run" }, h("a", { href: address({ run: null, with: null, turn: null }), id: "back" }, "← All runs"), go(-1, "previous"), go(1, "next"),
        place >= 0 && h("span", { class: "soft" }, `${whole(place + 1)} of ${whole(listed.length)}`), h("span", { class: "push" }), alike.length > 0 && other, copier("Copy link", "The link", () => location.href), copyJson),
      heading(row), facts(run, row),
      h("div", { class: "folds" }, [["Labels", labels], ["Parameters", params], ["Commit", commit], ["Evaluations", evals], ["Trials", trials], ["Agents", agents]].filter(([, value]) => value && Object.keys(value).length).map(([label, value]) => fold(label, coloured(value)))),
      verdict(run, row) ?? "", ...arrange(run).map((turn) => turnSection(turn, row.stem)), run.Messages.length ? "" : h("p", { class: "nothing" }, "Nothing was said."), ending(run, row) ?? "");
  }

  function drawPair(left, right, a, b) {
    const lines = [["Status", a.status, b.status], ["Scenario", a.scenario, b.scenario], ["Provider", a.provider, b.provider], ["Turns", whole(a.turns), whole(b.turns)], ["Calls", whole(a.toolCalls), whole(b.toolCalls)], ["Tokens", whole(a.tokens), whole(b.tokens)], ["Cost", usd(a.cost), usd(b.cost)], ["Time", time(a.ms), time(b.ms)]];
    const first = arrange(left), second = arrange(right);
    const numbers = [...new Set([...first, ...second].map((turn) => turn.number))].sort(ascending);
    const side = (turns, number) => { const turn = turns.find((each) => each.number === number); return turn ? turnSection(turn, null) : h("div", { class: "turn" }, h("p", { class: "none" }, `No turn ${number}.`)); };
    $("run-view").replaceChildren(
      h("nav", { class: "run-bar", "aria-label": "Two runs" }, h("a", { href: address({ run: null, with: null, turn: null }), id: "back" }, "← All runs"), h("a", { href: address({ run: a.stem, with: null, turn: null }) }, "Left alone"), h("a", { href: address({ run: b.stem, with: null, turn: null }) }, "Right alone"),
        h("span", { class: "push" }), h("button", { type: "button", onclick: () => { location.hash = address({ run: b.stem, with: a.stem, turn: null }); } }, "Swap sides")),
      h("div", { class: "run-title" }, h("h2", { tabindex: "-1", id: "run-title", class: "words" }, "Two runs side by side")),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Differences" }, h("table", { class: "sides" },
        h("thead", {}, h("tr", {}, h("td", {}), h("th", { scope: "col" }, id(a.id)), h("th", { scope: "col" }, id(b.id)))),
        h("tbody", {}, lines.map(([label, one, two]) => h("tr", {}, h("th", { scope: "row" }, label, one !== two && h("span", { class: "unseen" }, " (differs)")), [one, two].map((value) => h("td", { class: one !== two ? "differs" : null }, label === "Status" ? pill(value) : name(value)))))))),
      h("div", { class: "pair" }, verdict(left, a) ?? h("div", {}), verdict(right, b) ?? h("div", {})),
      ...numbers.map((number) => h("div", { class: "pair" }, side(first, number), side(second, number))),
      h("div", { class: "pair" }, ending(left, a) ?? h("div", {}), ending(right, b) ?? h("div", {})));
  }

  function highlight() {
    if (!globalThis.CSS?.highlights || !globalThis.Highlight) return;
    CSS.highlights.delete("found");
    const needle = state.q.trim().toLowerCase();
    if (needle.length < 2 || !state.run) return;
    const ranges = [];
    const walker = document.createTreeWalker($("run-view"), NodeFilter.SHOW_TEXT);
    while (walker.nextNode() && ranges.length < 500) {
      const text = walker.currentNode.data.toLowerCase();
      if (text.length !== walker.currentNode.data.length) continue; // a letter that grows would shift the places
      for (let at = text.indexOf(needle); at >= 0 && ranges.length < 500; at = text.indexOf(needle, at + needle.length)) {
        const range = new Range();
        range.setStart(walker.currentNode, at);
        range.setEnd(walker.currentNode, at + needle.length);
        ranges.push(range);
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }

  // --- two runs are chosen in the list -------------------------------------------------------

  function choose(stem, chosen) {
    const at = picked.indexOf(stem);
    if (chosen && at < 0) picked.push(stem);
    if (!chosen && at >= 0) picked.splice(at, 1);
    while (picked.length > 2) {
      const dropped = picked.shift();
      for (const row of document.querySelectorAll(".runs tbody tr")) if (row.dataset.stem === dropped) row.querySelector("input").checked = false;
    }
    drawPicked();
  }
  function drawPicked() {
    $("picked").hidden = !picked.length || !!state.run;
    $("picked").replaceChildren(
      h("span", {}, picked.length === 1 ? "One run is chosen; choose another to compare." : "Two runs are chosen."),
      picked.length === 2 && h("button", { type: "button", id: "compare", onclick: () => { location.hash = address({ run: picked[0], with: picked[1], turn: null }); } }, "Compare side by side") || "",
      h("button", { type: "button", class: "quiet", onclick: () => { picked.length = 0; drawPicked(); drawList(); } }, "Forget"));
  }

  // --- moving between views ------------------------------------------------------------------

  let shownRun = null, scrolled = 0, drawing = 0, printing = false;
  async function show() {
    const before = state;
    state = read();
    const mine = ++drawing;
    const listChanged = Object.keys(DEFAULTS).some((key) => before[key] !== state[key]);
    if (listChanged) {
      syncFilters();
      search();
      refresh();
      if (before.scenario !== state.scenario || before.provider !== state.provider || before.run === undefined) drawMatrix();
    }
    const row = state.run === null ? null : byStem.get(state.run);
    const other = state.with === null ? null : byStem.get(state.with);
    if (state.run !== null && !row) say("There is no such run in this report");
    if (!row) {
      const back = shownRun;
      $("run-view").hidden = true;
      $("overview-view").hidden = false;
      document.title = title;
      shownRun = null;
      release();
      $("run-view").replaceChildren();
      drawPicked();
      if (back) {
        scrollTo({ top: scrolled, behavior: "instant" });
        for (const line of document.querySelectorAll(".runs tbody tr")) if (line.dataset.stem === back) { line.classList.add("current"); line.querySelector("a").focus({ preventScroll: true }); current = listed.indexOf(byStem.get(back)); }
      }
      return;
    }
    const key = JSON.stringify([state.run, state.with]);
    if (shownRun === null) scrolled = scrollY;
    if (key !== show.key || shownRun === null) {
      let run, second;
      try { [run, second] = await Promise.all([load(row), other && load(other)]); } catch (problem) {
        $("run-view").replaceChildren(h("p", { class: "notice" }, `This conversation cannot be read: ${problem.message}`));
        run = null;
      }
      if (mine !== drawing) return;
      release();
      if (run && other) drawPair(run, second, row, other);
      else if (run) drawRun(run, row);
      show.key = key;
      shownRun = state.run;
      document.title = `${row.id} - ${title}`;
      $("overview-view").hidden = true;
      $("run-view").hidden = false;
      drawPicked();
      highlight();
      scrollTo({ top: 0, behavior: "instant" });
      $("run-title")?.focus({ preventScroll: true });
      say(`${row.status}: ${row.id}`);
    } else highlight();
    const aimed = state.turn !== null && [...document.querySelectorAll(".turn")].find((turn) => turn.dataset.turn === state.turn);
    for (const turn of document.querySelectorAll(".turn.aimed")) turn.classList.remove("aimed");
    if (aimed) { aimed.classList.add("aimed"); aimed.scrollIntoView({ behavior: "instant" }); }
  }
  function release() {
    for (const url of addresses) URL.revokeObjectURL(url);
    addresses = [];
  }

  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
    const typing = event.target.closest("input, select, textarea");
    if (event.key === "Escape") {
      if (typing && typing.value) return;
      if (state.run) location.hash = address({ run: null, with: null, turn: null });
      return;
    }
    if (typing && typing.type !== "checkbox" || !$("keys-on").checked) return;
    const click = (id) => { const button = $(id); if (button && !button.disabled) button.click(); };
    if (event.key === "/") { if (state.run) location.hash = address({ run: null, with: null, turn: null }); setTimeout(() => { $("q").focus(); $("q").scrollIntoView({ block: "center" }); }); }
    else if (event.key === "j") state.run ? click("next") : mark(document.querySelector("tr.current") ? Math.min(current + 1, listed.length - 1) : current, true);
    else if (event.key === "k") state.run ? click("previous") : mark(Math.max(current - 1, 0), true);
    else if (event.key === "c" && state.run) click("copy-json");
    else if (event.key === "?") $("keys").showModal();
    else return;
    event.preventDefault();
  }

  const title = document.title;
  const remembered = { get: (key) => { try { return localStorage.getItem(key); } catch { return null; } }, set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* a page from disk may have no storage */ } } };
  function frame() {
    const theme = $("theme");
    const set = (value) => { if (value) document.documentElement.dataset.theme = value; else delete document.documentElement.dataset.theme; };
    theme.value = remembered.get("arena-theme") ?? "";
    set(theme.value);
    theme.addEventListener("change", () => { set(theme.value); remembered.set("arena-theme", theme.value); });
    $("keys-on").checked = remembered.get("arena-keys") !== "off";
    $("keys-on").addEventListener("change", () => remembered.set("arena-keys", $("keys-on").checked ? "on" : "off"));
    $("help").addEventListener("click", () => $("keys").showModal());
    $("print").addEventListener("click", () => print());
    $("skip").addEventListener("click", (event) => { event.preventDefault(); $("main").focus(); $("main").scrollIntoView(); });
    addEventListener("keydown", keys);
    addEventListener("hashchange", show);
    let opened = [];
    addEventListener("beforeprint", () => { printing = true; if (!state.run) drawList(); opened = [...document.querySelectorAll("#run-view details:not([open])")]; for (const each of opened) each.open = true; });
    addEventListener("afterprint", () => { printing = false; if (!state.run) drawList(); for (const each of opened) each.open = false; });
  }

  async function start() {
    frame();
    if (!globalThis.DecompressionStream) { $("main").prepend(h("p", { class: "notice" }, "This browser cannot decompress data. Any browser from 2023 or later can.")); return; }
    data = JSON.parse(await decode("overview"));
    $("overview").remove();
    unpack();
    gather();
    $("subtitle").append(...[[data.name && [name(data.name), " · "], data.timestamp && !data.timestamp.startsWith("0001-") ? data.timestamp.replace("T", " ").replace(/\.\d+/, "").replace("Z", " UTC") : "", data.baseline && [" · against ", name(data.baseline.name || "a baseline")]]].flat(Infinity).filter(Boolean));
    $("foot").textContent = `pytest-arena-state ${data.version}. Everything is in this file; it asks nothing of any server.`;
    drawTotals();
    drawCompleteness();
    drawFilters();
    $("overview-view").hidden = false;
    await show();
    document.documentElement.dataset.ready = "";
    performance.mark("arena-ready");
  }
  start();
})();
