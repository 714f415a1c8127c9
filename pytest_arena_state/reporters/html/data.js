// The data of the report: the rows at once, conversations when they are looked at.

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
/** A number with the digits that were written: an order's id of 19 digits must not end in zeros. */
class Exact extends Number {
  constructor(value, source) { super(value); this.source = source; }
  toString() { return this.source; }
  toJSON() { return JSON.rawJSON(this.source); }
}
function parse(text) {
  if (!JSON.rawJSON || !/\d[\d.]{15}|\de\+?\d{3}/i.test(text)) return JSON.parse(text); // browsers before 2025 round
  return JSON.parse(text, (key, value, { source } = {}) => (typeof value === "number" && String(value) !== source && (!Number.isFinite(value) || source.replace(/\D/g, "").length > 15) ? new Exact(value, source) : value));
}
const runOf = (lines, row) => restore(parse(frameOf(lines, row)), JSON.parse(textsOf(lines, row)));
const load = async (row) => runOf(await chunk(row.chunk), row);

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
