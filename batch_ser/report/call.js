// One call: its figures, its time line in lanes, and its clips.
const dialog = document.getElementById("call");
const LINE = 6; // numbers of a segment: start, length, label, percent of it, of negative, of angry
const HIGH = 34, STRIP = 10, GAP = 17, THIN = 13; // a label of two lines fits a thin lane and its gap

function openCall(call, among) {
  if (player.paused === false) { player.pause(); stopped(); }
  const at = among.indexOf(call);
  const go = (to) => openCall(among[to], among);
  const step = (name, to) => el("button", { class: "plain", type: "button", disabled: !(to >= 0 && to < among.length), onclick: () => go(to) }, name);
  const close = el("button", { class: "plain", type: "button", onclick: () => dialog.close() }, "Close");
  dialog.replaceChildren(
    el("header", {}, el("h2", { id: "call-name" }, text(data.calls.file[call])), step("Previous call", at - 1), step("Next call", at + 1), close),
    el("div", { class: "body" },
      callFacts(call),
      el("div", { class: "columns" }, data.parties.map((party, index) => partyPanel(call, party, data.calls.parties[index]))),
      timeLine(call),
      callClips(call),
      el("p", { class: "soft small" }, WORTH)),
  );
  dialog.onkeydown = (event) => {
    if (event.target.closest("input, select, svg")) return;
    if (event.key === "ArrowLeft" && at > 0) go(at - 1);
    if (event.key === "ArrowRight" && at >= 0 && at < among.length - 1) go(at + 1);
  };
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  close.focus();
}

dialog.addEventListener("close", () => { player.pause(); stopped(); });

const facts = (pairs) => el("dl", {}, pairs.filter(([, value]) => known(value) && value !== NONE)
  .map(([name, value]) => [el("dt", {}, name), el("dd", { class: "text" }, value)]));

function callFacts(call) {
  const of = (name) => data.calls.call[name][call];
  const silence = of("silence_percentage");
  const carried = data.carried.map((name, index) => [name, data.calls.carried[index][call]]);
  return el("div", { class: "columns" },
    facts([
      ["status", data.calls.status[call]], ["note", data.calls.note[call]], ...carried,
      ["in samples", tagsOf(call).map((kind) => KINDS[kind]).join(", ") || null],
    ]),
    facts([
      ["to the last word", clock(of("total_conversation_duration_s"))],
      ["talk", clock(of("talk_time_total_s"))],
      ["silence", known(silence) ? `${number(silence, 1)}\u00a0%, ${of("longest_non_talk_s") ? `longest ${number(of("longest_non_talk_s"), 1)} s` : "never over 3 s"}` : null],
      ["both speak", known(of("overtalk_percentage")) ? `${number(of("overtalk_percentage"), 1)}\u00a0%` : null],
      ["turns", known(of("turn_count")) ? number(of("turn_count")) : null],
    ]));
}

function partyPanel(call, party, columns) {
  const of = (name) => columns[name][call];
  if (!known(of("talk_time_s")) && !known(of("scored_s"))) return null;
  const scored = known(of("emotion_overall_score"));
  const quarters = [1, 2, 3, 4].map((each) => of(`emotion_q${each}_score`));
  return el("section", {},
    el("h2", {}, text(party)),
    scored ? quarterChart(quarters, party, REACH) : el("p", { class: "soft small" }, emotionsMissing(party)),
    facts([
      ["talk", known(of("talk_time_s")) ? `${clock(of("talk_time_s"))}, ${number(of("speaking_percentage"), 0)}\u00a0% of the call` : null],
      ["interrupts", known(of("interruptions_count")) ? `${plural(of("interruptions_count"), "time")}, ${number(of("interruptions_time_s"), 1)} s` : null],
      ["longest turn", known(of("longest_turn_s")) ? clock(of("longest_turn_s")) : null],
      ["answers after", known(of("response_time_median_s")) ? `${number(of("response_time_median_s"), 1)} s (median)` : null],
      ["overall; end", scored ? `${score(of("emotion_overall_score"))}; ${score(of("emotion_end_score"))}` : null],
      ["trend", scored ? trendWords(of("emotion_trend_class"), of("emotion_trend")) : null],
      ["negative time", scored ? `${number(of("negative_time_s"), 1)} s of ${number(of("scored_s"), 0)} s scored; longest ${number(of("longest_negative_s"), 1)} s` : null],
      ["loudest anger", known(of("anger_peak")) ? `${percent(of("anger_peak"))} at ${clock(of("anger_peak_start_s"))} to ${clock(of("anger_peak_end_s"))}` : null],
      ["coverage", scored && known(of("coverage")) ? percent(of("coverage")) : null],
    ]));
}

const emotionsMissing = (party) => data.score && party !== data.score
  ? `Only ${data.score} was scored (--score): no emotion of others is computed.`
  : "No segment was scored.";

const TRENDS = { NoChange: "no change", NotCalculated: "not calculated", SlightlyImproving: "slightly improving", SlightlyDeclining: "slightly declining", Improving: "improving", Declining: "declining" };
const trendWords = (name, value) => known(name) ? `${TRENDS[name] || name}${known(value) ? ` (${score(value)})` : ""}` : NONE;

// the largest score of a quarter of any call of the page: all are drawn on one scale, to compare them
const REACH = data.calls.parties.flatMap((columns) => [1, 2, 3, 4].flatMap((each) => columns[`emotion_q${each}_score`]))
  .reduce((most, value) => Math.max(most, Math.abs(value ?? 0)), 1);

// a number with an arrow, for tables
function trendCell(name, value) {
  const arrow = /Declining/.test(name) ? " ↘" : /Improving/.test(name) ? " ↗" : "";
  return el("span", { title: TRENDS[name] || name || null }, known(value) ? `${score(value)}${arrow}` : NONE);
}

function callClips(call) {
  const mine = data.clips.map((clip, at) => [clip, at]).filter(([clip]) => clip.call === call);
  if (!mine.length) return null;
  return el("ul", { class: "clips" }, mine.map(([clip, at]) => el("li", {}, playButton(at), el("div", {},
    el("span", { class: `tag ${clip.kind}` }, KINDS[clip.kind]), `${clip.party}, ${clipTimes(clip)}: `, clipScores(clip)))));
}

function timeLine(call) {
  const packed = data.lines[call];
  if (!packed) {
    const why = data.calls.status[call] === "ok"
      ? "This file has the time lines of the calls with the highest anger peak and of the samples; of this call it has the figures alone. The segments and speech tables have its segments."
      : "There is no time line: nothing was scored.";
    return el("p", { class: "soft small" }, why);
  }
  const line = JSON.parse(packed), lanes = lanesOf(line);
  const said = el("p", { class: "chosen-text", role: "status", "aria-live": "polite" }, "Choose a segment for its scores, by a click or by Tab and the arrow keys; one with a triangle plays.");
  const place = el("div", { class: "scroll" });
  const top = 18, height = lanes.reduce((sum, lane) => sum + lane.height + GAP, top);
  const labels = styled(el("div", { class: "labels", "aria-hidden": "true" }), { height: `${height}px` });
  let y = top;
  for (const lane of lanes) {
    labels.append(styled(el("span", {}, text(lane.name)), { top: `${y}px`, "max-height": `${lane.height + GAP}px` }));
    y += lane.height + GAP;
  }
  new ResizeObserver(([entry], observer) => {
    if (entry.contentRect.width < 10) return;
    observer.disconnect();
    place.replaceChildren(lanesChart(call, line, lanes, Math.floor(entry.contentRect.width), height, top, said));
  }).observe(place);
  return el("div", {}, el("h3", {}, "Time line"), el("div", { class: "lanes" }, labels, place), labelLegend(), said);
}

function lanesOf(line) {
  const found = [];
  for (const party of data.parties) {
    if (line.segments[party]) found.push({ kind: "segments", party, name: `${party}: negative; label`, height: HIGH + STRIP + 2, values: line.segments[party] });
    if (line.speech && line.speech[party]) found.push({ kind: "regions", party, name: `${party} speaks`, height: THIN, values: line.speech[party], paint: "var(--speech)" });
  }
  for (const [party, values] of Object.entries(line.interruptions || {})) {
    if (values.length) found.push({ kind: "regions", party, name: `${party} interrupts`, height: THIN, values, paint: partyColour(party), least: 3 });
  }
  if (line.silence) found.push({ kind: "regions", name: "silence over 3 s", height: THIN, values: line.silence, paint: "var(--silence)" });
  return found;
}

function lanesChart(call, line, lanes, room, height, top, said) {
  const length = Math.max(line.length, 10), width = Math.max(room, Math.min(30_000, Math.round(length / 10 * 1.6)));
  const x = (tenths) => (tenths / length) * width;
  const chartOf = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": "Time line of the call" });
  for (const at of timeTicks(length / 10, Math.max(2, Math.floor(width / 90)))) {
    chartOf.append(svg("line", { x1: x(at * 10), x2: x(at * 10), y1: top - 4, y2: height, class: "axis" }));
    const anchor = at === 0 ? "start" : x(at * 10) > width - 20 ? "end" : "middle";
    chartOf.append(svg("text", { x: x(at * 10), y: 11, "text-anchor": anchor }, clock(at)));
  }
  let y = top;
  for (const lane of lanes) {
    chartOf.append(lane.kind === "segments" ? segmentLane(call, lane, x, y, said) : regionLane(lane, x, y));
    y += lane.height + GAP;
  }
  return chartOf;
}

function regionLane(lane, x, y) {
  const found = svg("g", {});
  for (let at = 0; at < lane.values.length; at += 2) {
    const [start, long] = lane.values.slice(at, at + 2);
    found.append(svg("rect", { x: x(start), y, width: Math.max(x(long), lane.least || 1), height: lane.height, rx: 2, fill: lane.paint },
      tip(`${lane.name}: ${clock(start / 10)} to ${clock((start + long) / 10)} (${number(long / 10, 1)} s)`)));
  }
  return found;
}

function segmentLane(call, lane, x, y, said) {
  const found = svg("g", { onkeydown: stepAmongSegments }), base = y + HIGH;
  found.append(svg("line", { x1: 0, x2: x(1e9), y1: base, y2: base, class: "axis" }));
  const peak = peakOf(call, lane);
  for (let at = 0; at < lane.values.length; at += LINE) {
    const [start, long, label, sure, negative, angry] = lane.values.slice(at, at + LINE);
    const clip = data.clips.findIndex((each) => each.call === call && each.party === lane.party && each.place === at / LINE && each.audio);
    const words = `${lane.party}, ${clock(start / 10)} to ${clock((start + long) / 10)}: ${angry >= 0 ? `angry ${angry}\u00a0%, ` : ""}negative ${negative}\u00a0%; label ${data.labels[label]}, ${sure}\u00a0%`;
    const wide = Math.max(x(long) - 0.6, 1), tall = Math.max((negative / 100) * (HIGH - 2), 1);
    found.append(svg("rect", { x: x(start), y: base - tall, width: wide, height: tall, fill: "var(--negative)" }));
    found.append(svg("rect", { x: x(start), y: base + 2, width: wide, height: STRIP, fill: colour(data.labels[label]), opacity: 0.35 + 0.65 * sure / 100 }));
    if (clip >= 0) found.append(svg("path", { d: `M${x(start) + 2} ${y} l9 5.5 l-9 5.5 z`, class: "peak" }));
    const act = () => choose(found, over, said, words, clip);
    const over = svg("rect", {
      x: x(start), y, width: wide, height: HIGH + STRIP + 2, fill: "transparent", class: "segment",
      tabindex: at === 0 || clip >= 0 ? "0" : "-1", role: "button", "aria-label": clip >= 0 ? `Play ${words}` : words,
      "data-plays": clip >= 0 ? clip : null, onfocus: () => { said.textContent = words; },
      onclick: act, onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); act(); } },
    }, tip(clip >= 0 ? `${words} (plays)` : words));
    found.append(over);
    if (at / LINE === peak) {
      found.append(svg("path", { d: `M${x(start) + wide / 2 - 5} ${base + STRIP + 11} h10 l-5 -8 z`, class: "peak" }, tip("loudest anger")));
    }
  }
  return found;
}

// the place of the segment with the loudest anger; -1: none
function peakOf(call, lane) {
  const columns = data.calls.parties[data.parties.indexOf(lane.party)], start = columns.anger_peak_start_s[call];
  if (!known(start)) return -1;
  const places = Array.from({ length: lane.values.length / LINE }, (_, place) => place);
  const away = (place) => Math.abs(lane.values[place * LINE] - 10 * start)
    + Math.abs(lane.values[place * LINE] + lane.values[place * LINE + 1] - 10 * columns.anger_peak_end_s[call]);
  return places.reduce((best, place) => (away(place) < away(best) ? place : best), 0);
}

// one press of Tab leads to a lane, the arrow keys through its segments
function stepAmongSegments(event) {
  const to = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!to) return;
  const segments = [...event.currentTarget.querySelectorAll(".segment")];
  const next = segments[segments.indexOf(event.target) + to];
  if (next) { next.focus(); event.preventDefault(); }
}

function choose(lane, rect, said, words, clip) {
  for (const each of lane.ownerSVGElement.querySelectorAll(".chosen")) each.classList.remove("chosen");
  rect.classList.add("chosen");
  said.textContent = clip >= 0 ? words : `${words}. There is no clip of it in this file.`;
  if (clip >= 0) play(clip);
}
