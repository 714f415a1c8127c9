// Search within messages: block by block, so that the page stays usable meanwhile.

function* texts(run) {
  for (const message of run.Messages) {
    if (message.content) yield message.content;
    if (message.reasoning?.text) yield message.reasoning.text;
    if (message.tool_result) { yield message.tool_result.content ?? ""; if (message.tool_result.error) yield message.tool_result.error; }
    for (const call of message.tool_calls ?? []) {
      yield `${call.name} ${typeof call.args === "string" ? call.args : JSON.stringify(call.args)}`;
      if (typeof call.args !== "string") yield onOneLine(call.args); // as the page shows it, with spaces
    }
    for (const part of message.parts ?? []) if (part.text && part.text !== message.content) yield part.text;
  }
  yield run.Error;
  for (const result of run.conversation_assertions?.results ?? []) yield result.message ?? "";
}
function snippet(text, needle) {
  const at = text.toLowerCase().indexOf(needle);
  if (at < 0) return null;
  const flat = (piece) => piece.replace(/\s+/g, " ");
  const end = at + needle.length;
  return [flat(text.slice(between(text, Math.max(0, at - 60)), at)), flat(text.slice(at, end)), flat(text.slice(end, between(text, end + 80)))];
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
  const inArguments = /["{[]/.test(needle); // which are JSON themselves, and whose texts stand elsewhere
  const members = new Map();
  for (const row of rows) { if (!members.has(row.chunk)) members.set(row.chunk, []); members.get(row.chunk).push(row); }
  let shownAt = performance.now();
  for (let number = 0; number < data.chunks; number++) {
    const lines = chunks.has(number) ? await chunks.get(number) : (await parsed, (await decode(`chunk-${number}`)).split("\n"));
    if (mine !== searching) return;
    for (const row of members.get(number) ?? []) {
      // The text of the JSON first: parsing is ten times slower than looking.
      if (!(inArguments && row.toolCalls) && !textsOf(lines, row).toLowerCase().includes(written) && !frameOf(lines, row).toLowerCase().includes(written)) continue;
      for (const text of texts(runOf(lines, row))) {
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
