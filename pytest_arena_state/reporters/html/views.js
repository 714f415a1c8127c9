// Moving between views, keys, print, and the start.

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
