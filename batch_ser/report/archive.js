// The archive: accounts, emotions, trend, groups, clips, and the table of calls.
const WORTH = "These figures rank calls within one output, to find those worth listening to. A single label is often wrong, and how an emotion is expressed is not what a person feels: decide nothing about a single person by them.";
const MOST_VALUES = 200; // of a column, to choose from
const files = data.files, calls = data.calls;
const rows = calls.file.map((_, index) => index);

const samples = new Map();
data.clips.forEach((clip) => {
  if (!samples.has(clip.call)) samples.set(clip.call, new Set());
  samples.get(clip.call).add(clip.kind);
});
function tagsOf(call) { return [...(samples.get(call) || [])]; }

function head() {
  const audio = data.has_audio && data.clips.some((clip) => clip.audio);
  return [
    el("h1", {}, "Calls of ", text(data.out)),
    el("p", { class: "soft" }, `${plural(data.calls_in_all, "recording")}, ${hours(data.seconds.duration_s)}; scored by ${data.checkpoint}, ${data.finished.slice(0, 10)}; report of ${data.made.slice(0, 10)}. `,
      audio ? "This file holds voices of people: handle it like the recordings." : ""),
    data.alarms.map((alarm) => el("div", { class: "alarm", role: "alert" }, el("strong", {}, text(alarm.name)), " ", text(alarm.message))),
    el("div", { class: "worth" }, el("h2", {}, "What these figures are worth"),
      el("p", {}, WORTH), data.worth.map((each, at) => el("p", { class: "small" }, at ? "" : `The checkpoint ${data.checkpoint}, by its card: `, text(each))),
      el("p", { class: "small" }, "Scores compare calls within this output alone: whether it is angrier than another one, they do not show. Shares are mean probabilities given what was expected",
        data.expect ? ` (--expect ${data.expect})` : "", ", not a measurement of how many calls are angry. An interval states what another sample of calls would have given, not whether scores are right."),
      data.cautions.map((each) => el("p", {}, text(each)))),
  ];
}

function accounts() {
  const tile = (value, name) => el("div", { class: "tile" }, el("b", {}, value), el("span", {}, name));
  const seconds = data.seconds, total = seconds.decoded_s;
  const part = (name, value, paint) => ({ name, value, paint, shown: `${hours(value)}${total ? ` (${percent(value / total)})` : ""}` });
  return el("section", {}, el("h2", {}, "Accounts"),
    el("div", { class: "tiles" }, tile(number(files.in), "recordings"), tile(number(files.ok || 0), "ok"),
      tile(number(files.empty || 0), "empty"), tile(number(files.failed || 0), "failed"), tile(hours(seconds.duration_s), "length")),
    el("h3", {}, `Decoded: ${hours(total)} over all channels`),
    stack([
      part("scored", seconds.scored_s, "var(--accent)"), part("not speech", seconds.not_speech_s, "var(--silence)"),
      part("too short", seconds.too_short_s, "var(--c-happy)"), part("not asked", seconds.not_asked_s, "var(--c-fearful)"),
    ]),
    data.reasons.length ? [el("h3", {}, "Failures by reason"), bars(data.reasons.map(([name, value]) => ({ name, value, shown: number(value), paint: "var(--warn)" })), data.reasons[0][1])] : null,
    data.failed.length ? el("details", {}, el("summary", {}, files.failed > data.failed.length ? `The first ${data.failed.length} files that failed` : "The files that failed"),
      el("ul", { class: "small" }, data.failed.map(([name, reason, message]) => el("li", {}, text(name), `: ${reason}: `, text(message))))) : null,
    data.notes.length ? [el("h3", {}, "Notes on good recordings"), el("p", { class: "small" }, data.notes.map(([name, count]) => `${name} ${number(count)}`).join(", "))] : null);
}

function emotions() {
  return el("section", {}, el("h2", {}, "Emotions, by mean probability"),
    data.shares.length ? null : el("p", { class: "soft" }, "Nothing was scored."),
    data.shares.map((each) => [
      el("h3", {}, text(each.party), el("span", { class: "soft small" }, `: ${hours(each.scored_s)} scored`,
        known(each.coverage) && each.coverage ? `, ${percent(each.coverage)} of the talk time` : "")),
      bars(data.labels.map((name, index) => ({ name, value: each.shares[index], shown: percent(each.shares[index], 1), paint: colour(name) })), Math.max(...each.shares)),
    ]),
    el("p", { class: "soft small below" }, `Negative here: ${data.negative.join(", ") || "none"}; positive: ${data.positive.join(", ") || "none"}.`));
}

function trend() {
  if (!data.days) return el("section", {}, el("h2", {}, "Trend by day"), el("p", { class: "soft" }, data.no_days));
  return el("section", {}, el("h2", {}, "Trend by day"),
    el("p", { class: "soft small" }, `Mean overall score of the calls of each day (column ${data.days.column}), from −5 to 5, with intervals of 95 %.`),
    trendChart(data.days), data.days.parties.length > 1 ? legend(data.days.parties.map((each) => [each.party, partyColour(each.party)])) : null,
    data.days.few_calls.some(Boolean) ? el("ul", { class: "legend few-calls" }, el("li", {}, el("i", { class: "hollow" }), "fewer than 30 calls: too few to conclude much from")) : null);
}

function groups() {
  const found = data.groups;
  if (!found.by.length) return null;
  const parties = [...found.parties].sort((one, other) => data.focus.includes(other.party) - data.focus.includes(one.party));
  const place = el("div"), choice = choiceOf(parties.map((each) => each.party), () => draw());
  const name = (row) => found.keys[row].map((each) => each ?? "(empty)").join(" · ");
  function draw() {
    const mine = parties.find((each) => each.party === choice.value);
    const own = found.calls.map((_, index) => index), of = (column) => (row) => mine ? mine[column][row] : null;
    const overall = of("emotion_overall_score"), low = of("emotion_overall_score_low"), high = of("emotion_overall_score_high");
    const scale = range(mine ? [...mine.emotion_overall_score, ...mine.emotion_overall_score_low, ...mine.emotion_overall_score_high] : []);
    const simple = (column, title, value, shown) => ({ name: column, title, numeric: true, value, cell: (row) => shown(value(row)) });
    const columns = [
      { name: found.by.join(" · "), value: name, cell: (row) => text(name(row), { class: "text short" }) },
      simple("Calls", "recordings that are ok or empty", (row) => found.calls[row], number),
      { name: "Length", numeric: true, value: (row) => found.hours[row], cell: (row) => hours(found.hours[row] * 3600) },
      { name: "Overall score", title: "mean over calls, and its interval of 95 %", value: overall, numeric: true, cell: (row) => score(overall(row)) },
      { name: "95 % interval", cell: (row) => intervalMark(overall(row), low(row), high(row), scale) },
      simple("End", "mean of the score of the last quarter", of("emotion_end_score"), score),
      simple("Trend", "mean of the last quarter less the first", of("emotion_trend"), score),
      simple("Declining", "share of calls whose score declines", of("share_declining"), percent),
      simple("Coverage", "share of the talk time that was scored", of("coverage"), percent),
      { name: "", cell: (row) => (found.few_calls[row] ? el("span", { class: "tag failed", title: "fewer than 30 calls: too few to conclude much from" }, "few calls") : "") },
    ];
    const table = makeTable({ columns, rows: own, size: 25, sorted: { by: "Overall score", down: false }, counted: (count) => plural(count, "group"), pages: own.length > 25 });
    place.replaceChildren(table.element);
  }
  draw();
  return el("section", { class: "long" }, el("h2", {}, "Groups of calls by ", text(found.by.join(", "))),
    found.count > found.calls.length ? el("p", { class: "soft small" }, `The ${number(found.calls.length)} groups with the most calls, of ${number(found.count)}; the groups table has all.`) : null,
    parties.length > 1 ? el("div", { class: "controls" }, el("label", {}, "Scores of", choice)) : null, place);
}

const choiceOf = (names, changed) => el("select", { onchange: changed }, names.map((name) => el("option", { value: name }, name)));

function clipSections(open) {
  if (!data.clips.length) return null;
  const missing = data.has_audio ? "" : " They can be listened to here if the report is made with --audio ROOT.";
  const shown = (kind, title, why) => el("section", { class: "long" }, el("h2", {}, title), el("p", { class: "soft small" }, why + missing), clipList(kind, open));
  return el("div", { class: "columns" },
    shown("strongest", hasAnger ? "Loudest anger" : "Most negative segments", `Of each call the segment of 1.5 s or more with the highest probability of ${hasAnger ? "anger" : "negative labels"}; the highest first. Expect that some of them are no anger at all.`),
    shown("control", "Control group, drawn at random", "A random segment of 1.5 s or more of random calls. Listen to these as well: what is heard in both lists is usual here, and nothing that the scores found."));
}

const MODE = { worst: "(angriest party)" };

function callsTable() {
  const focus = data.focus;
  const names = [...(focus.length > 1 ? [MODE.worst] : focus), ...data.parties.filter((each) => focus.length > 1 || !focus.includes(each))];
  const choice = choiceOf(names.filter((name) => name === MODE.worst || scoredAtAll(name)), () => { table.replace(columns()); });
  const partyOf = (row) => choice.value === MODE.worst ? worstOf(row) : data.parties.indexOf(choice.value);
  const value = (name) => (row) => { const at = partyOf(row); return at < 0 ? null : calls.parties[at][name][row]; };
  const numeric = (name, title, of, shown) => ({ name, title, numeric: true, value: of, cell: (row) => shown(of(row)) });
  const open = (row, among) => openCall(row, among || rows);

  function columns() {
    const call = (name) => (row) => calls.call[name][row];
    const ofCarried = (name) => calls.carried[data.carried.indexOf(name)];
    return [
      { name: "Recording", value: (row) => calls.file[row], cell: (row) => [el("button", { class: "name", type: "button" }, calls.file[row]), " ", marks(row)] },
      ...(choice.value === MODE.worst ? [{ name: "Party", value: (row) => data.parties[worstOf(row)] ?? null, cell: (row) => text(data.parties[worstOf(row)] ?? NONE) }] : []),
      numeric("Anger peak", "highest probability of anger of a segment of 1.5 s or more", value("anger_peak"), percent),
      numeric("Negative time", "seconds, each weighted by the probability of the negative labels: longer calls have more", value("negative_time_s"), (each) => known(each) ? `${number(each, 1)} s` : NONE),
      numeric("Overall", "score from -5 to 5 over the call", value("emotion_overall_score"), score),
      numeric("End", "score of the last quarter", value("emotion_end_score"), score),
      { name: "Trend", title: "score of the last quarter less that of the first", value: value("emotion_trend"), numeric: true, cell: (row) => trendCell(value("emotion_trend_class")(row), value("emotion_trend")(row)) },
      numeric("Length", "from the start to the last word", call("total_conversation_duration_s"), clock),
      ...shownColumns().map((name) => ({ name, value: (row) => ofCarried(name)[row], cell: (row) => text(ofCarried(name)[row] ?? NONE, { class: "text short" }) })),
      numeric("Silence", "share of the call without speech", call("silence_percentage"), (each) => known(each) ? `${number(each)}\u00a0%` : NONE),
      numeric("Interrupts", "how often this party starts to speak while another does", value("interruptions_count"), (each) => number(each)),
      numeric("Coverage", "share of the party's talk time that was scored", value("coverage"), percent),
    ];
  }

  const table = makeTable({
    columns: columns(), rows, size: 25, sorted: { by: hasAnger ? "Anger peak" : "Negative time", down: true }, open, className: "calls",
    counted: (count) => count < rows.length ? `${number(count)} that fit, of ${plural(rows.length, "recording")}` : plural(count, "recording"),
  });
  return { element: callsSection(table, choice, names), open };
}

const scoredAtAll = (party) => data.shares.some((each) => each.party === party);
const shownColumns = () => data.carried.slice(0, Math.max(4, data.by.length));
const marks = (row) => [
  tagsOf(row).map((kind) => el("span", { class: `tag ${kind}` }, KINDS[kind])),
  calls.status[row] === "ok" ? null : el("span", { class: "tag failed" }, calls.status[row]),
];

const hasAnger = data.labels.includes("angry");

// the angriest party, of those by which calls are ordered; -1: none
function worstOf(row) {
  let found = -1, most = [-1, -1];
  for (const party of data.focus) {
    const at = data.parties.indexOf(party), of = calls.parties[at];
    const rank = [of.anger_peak[row] ?? -1, of.negative_time_s[row] ?? -1];
    if (rank[0] > most[0] || (rank[0] === most[0] && rank[1] > most[1])) { found = at; most = rank; }
  }
  return found;
}

function callsSection(table, choice, names) {
  const search = el("input", { type: "search", id: "search", oninput: apply, placeholder: "name or value" });
  const least = el("input", { type: "number", min: "0", step: "1", id: "least", oninput: apply });
  const only = el("select", { id: "only", onchange: apply }, [["", "all"], ["strongest", KINDS.strongest], ["control", KINDS.control],
    ["declining", "declining"], ["line", "with a time line"], ["ok", "ok"], ["empty", "empty"], ["failed", "failed"]].map(([value, name]) => el("option", { value }, name)));
  const selects = data.carried.map((name, index) => [index, name, [...new Set(calls.carried[index])].filter(known).sort((a, b) => a.localeCompare(b, "en", { numeric: true }))])
    .filter(([, , values]) => values.length > 1 && values.length <= MOST_VALUES)
    .map(([index, name, values]) => [index, name, el("select", { onchange: apply, "data-column": name }, el("option", { value: "" }, "all"),
      values.map((value, at) => el("option", { value: at + 1 }, value))), values]);
  const searched = rows.map((row) => [calls.file[row], ...calls.carried.map((column) => column[row] ?? "")].join("\n").toLowerCase());
  choice.addEventListener("change", apply);

  function apply() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean), atLeast = Number(least.value) || 0;
    const wanted = selects.filter(([, , select]) => select.value).map(([index, , select, values]) => [index, values[select.value - 1]]);
    table.filter((row) => words.every((word) => searched[row].includes(word))
      && (!atLeast || negativeTime(row) >= atLeast)
      && wanted.every(([index, value]) => calls.carried[index][row] === value)
      && fits(row, only.value));
  }
  const partyOf = (row) => choice.value === MODE.worst ? worstOf(row) : data.parties.indexOf(choice.value);
  const ofParty = (row, name) => { const at = partyOf(row); return at < 0 ? null : calls.parties[at][name][row]; };
  const negativeTime = (row) => ofParty(row, "negative_time_s") ?? -1;
  const fits = (row, kind) => kind === "" || (kind === "line" ? Boolean(data.lines[row])
    : kind === "declining" ? /Declining$/.test(ofParty(row, "emotion_trend_class") ?? "")
    : ["ok", "empty", "failed"].includes(kind) ? calls.status[row] === kind : tagsOf(row).includes(kind));
  const fewer = data.calls_in_all > rows.length
    ? `This page has ${number(rows.length)} of ${number(data.calls_in_all)} recordings: those with the highest anger peak, and the samples. The table of calls (Parquet and CSV) has all. ` : "";
  const columns = data.carried_left_out ? `${plural(data.carried_left_out, "further column")} of the manifest are in that table alone.` : "";
  return el("section", { class: "long", id: "calls" }, el("h2", {}, "Calls"),
    el("p", { class: "soft small" }, `${fewer}A click on the name of a column sorts by it. A click on a row, or Enter on its name, opens the call. ${columns}`),
    el("div", { class: "controls" }, el("label", {}, "Search", search),
      names.length > 1 ? el("label", {}, "Scores of", choice) : null,
      selects.map(([, name, select]) => el("label", {}, text(name), select)),
      el("label", {}, "Only", only), el("label", {}, "Negative time from, s", least)),
    table.element);
}

const table = callsTable();
document.getElementById("worth-of-page").textContent = WORTH;
document.getElementById("archive").append(...[
  head(), el("div", { class: "columns" }, accounts(), emotions()), trend(), groups(), table.element,
  clipSections((call) => table.open(call)),
  el("p", { class: "soft small" }, `Made by ${data.program}. Licence of the checkpoint: ${data.licence}.`),
].flat(Infinity).filter(Boolean));
document.documentElement.dataset.ready = "yes";
