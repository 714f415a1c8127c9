// The state of the page is its address, so that a link shows what its sender saw.

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
