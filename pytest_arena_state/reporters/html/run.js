// One run, or two side by side.

let addresses = []; // blob: addresses of the images that are shown
const json = (value) => JSON.stringify(value, null, 2) ?? "";
const onOneLine = (value) => json(value).replace(/\n\s*/g, " ");
/** For people: what fits on a line stands on one. */
function laidOut(value) {
  const line = onOneLine(value);
  return line.length <= ONE_LINE ? line : json(value);
}

function coloured(value) {
  const text = typeof value === "string" ? value : laidOut(value);
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
    return line > at - 2000 ? line : between(text, at);
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
  if (/^\s*[[{]/.test(text) && text.length < 200000) try { return coloured(parse(text)); } catch { /* it only looked like it */ }
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
