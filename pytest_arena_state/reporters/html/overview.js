// Totals, what is missing, and the matrix of scenarios and providers.

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
  // A few milliseconds more or less are the machine's, not the model's.
  const times = Math.abs(cell.ms - before.ms) >= MACHINE_NOISE ? [["time", before.ms, cell.ms]] : [];
  for (const [label, old, now] of [["cost", before.cost, cell.cost], ...times])
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
