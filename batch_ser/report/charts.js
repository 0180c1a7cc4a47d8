// Charts as inline SVG. A chart is drawn again when its place gets another width.
function chart(label, height, draw) {
  const place = el("div", { class: "chart" });
  let drawn = 0;
  const redraw = (width) => {
    if (width < 10 || Math.abs(width - drawn) < 2) return;
    drawn = width;
    const size = { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label };
    place.replaceChildren(svg("svg", size, draw(width, height)));
  };
  new ResizeObserver(([entry]) => redraw(Math.round(entry.contentRect.width))).observe(place);
  return place;
}

// round numbers between two values, about `count` of them
function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) found.push(at);
  return found;
}

// times from 0, in steps that a clock has
function timeTicks(length, count) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800];
  const step = steps.find((each) => length / each <= count) || length;
  return Array.from({ length: Math.floor(length / step) + 1 }, (_, index) => index * step);
}

// the range of values, with some room; 0 is inside if it is near
function range(values) {
  const finite = values.filter(known);
  if (!finite.length) return [-1, 1];
  let low = Math.min(...finite), high = Math.max(...finite);
  const room = Math.max((high - low) * 0.12, 0.1);
  if (low > 0 && low < high - low) low = 0;
  if (high < 0 && -high < high - low) high = 0;
  return [low - room, high + room];
}

const tip = (value) => svg("title", {}, value);

function bars(rows, largest) {
  return el("div", { class: "bars" }, rows.map(({ name, value, shown, paint }) => [
    text(name),
    styled(el("div", { class: "bar" }), {
      width: `${largest ? (100 * value) / largest : 0}%`, background: paint || "var(--accent)",
    }),
    el("span", { class: "value" }, shown),
  ]));
}

function stack(parts) {
  const all = parts.reduce((sum, part) => sum + part.value, 0);
  const strip = el("div", { class: "stack", role: "img", "aria-label": parts.map((p) => `${p.name} ${p.shown}`).join(", ") },
    parts.map((part) => styled(el("i", { title: `${part.name}: ${part.shown}` }), {
      width: `${all ? (100 * part.value) / all : 0}%`, background: part.paint,
    })));
  return [strip, legend(parts.map((part) => [`${part.name} ${part.shown}`, part.paint]))];
}

// scores by day: a line for each party with its interval, and the number of calls below
function trendChart(days) {
  const at = days.days.map((day) => Date.parse(`${day}T00:00:00Z`));
  const first = at[0], last = at[at.length - 1];
  const values = days.parties.flatMap((each) => [...each.mean, ...each.low, ...each.high]);
  const [low, high] = range(values);
  return chart("Mean score of the calls of each day, with intervals", 270, (width, height) => {
    const left = 60, right = width - 14, top = 12, bottom = height - 78, floor = height - 22;
    const x = (time) => left + ((time - first) / Math.max(last - first, 1)) * (right - left);
    const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
    const found = ticks(low, high, 4).map((value) => [
      svg("line", { x1: left - 10, x2: right + 10, y1: y(value), y2: y(value), class: Math.abs(value) < 1e-9 ? "zero" : "axis" }),
      svg("text", { x: left - 16, y: y(value) + 4, "text-anchor": "end" }, score(value)),
    ]);
    const count = Math.max(2, Math.min(days.days.length, Math.floor(width / 105)));
    for (let n = 0; n < count; n += 1) {
      const index = Math.round((n * (at.length - 1)) / (count - 1));
      const anchor = n === 0 ? "start" : n === count - 1 ? "end" : "middle";
      found.push(svg("text", { x: x(at[index]), y: height - 5, "text-anchor": anchor }, days.days[index]));
    }
    const most = Math.max(...days.calls), slot = Math.max(1, Math.min(18, (right - left) / at.length - 1));
    days.calls.forEach((calls, index) => {
      const tall = Math.max(1, (calls / most) * 34);
      found.push(svg("rect", { x: x(at[index]) - slot / 2, y: floor - tall, width: slot, height: tall, fill: "var(--silence)" },
        tip(`${days.days[index]}: ${plural(calls, "call")}`)));
    });
    found.push(svg("text", { x: left - 16, y: floor - 4, "text-anchor": "end" }, "calls"));
    for (const each of days.parties) found.push(trendLine(each, days, at, x, y));
    return found;
  });
}

function trendLine(each, days, at, x, y) {
  const paint = partyColour(each.party);
  const indices = at.map((_, index) => index);
  const both = indices.filter((index) => known(each.low[index]) && known(each.high[index]));
  const edge = (values, from) => from.map((index) => `${x(at[index])},${y(values[index])}`);
  const runs = []; // of days with an interval, one after the other: no band crosses a day without
  for (const index of both) {
    if (runs.length && runs.at(-1).at(-1) === index - 1) runs.at(-1).push(index);
    else runs.push([index]);
  }
  const band = (run) => run.length > 1
    ? svg("polygon", { points: [...edge(each.high, run), ...edge(each.low, [...run].reverse())].join(" "), fill: paint, opacity: 0.16 })
    : svg("line", { x1: x(at[run[0]]), x2: x(at[run[0]]), y1: y(each.low[run[0]]), y2: y(each.high[run[0]]), stroke: paint, "stroke-width": 4, opacity: 0.25 });
  const line = edge(each.mean, indices.filter((index) => known(each.mean[index])));
  return [
    runs.map(band),
    svg("polyline", { points: line.join(" "), fill: "none", stroke: paint, "stroke-width": 2 }),
    indices.filter((index) => known(each.mean[index])).map((index) =>
      svg("circle", { cx: x(at[index]), cy: y(each.mean[index]), r: at.length > 120 ? 1.5 : 3, fill: days.few_calls[index] ? "var(--card)" : paint, stroke: paint, "stroke-width": 1.5, class: days.few_calls[index] ? "few" : null },
        tip(`${days.days[index]}, ${each.party}: ${interval(each.mean[index], each.low[index], each.high[index])}, ${plural(days.calls[index], "call")}${days.few_calls[index] ? " (few)" : ""}`))),
  ];
}

const interval = (mean, low, high) =>
  known(low) ? `${score(mean)} (${score(low)} to ${score(high)})` : score(mean);

// a mean and its interval on a scale that all rows of a table share
function intervalMark(mean, low, high, [from, to]) {
  const width = 170, x = (value) => 6 + ((value - from) / (to - from)) * (width - 12);
  const size = { viewBox: `0 0 ${width} 18`, role: "img", "aria-label": interval(mean, low, high) };
  const found = svg("svg", size, svg("line", { x1: 0, x2: width, y1: 9, y2: 9, class: "axis" }));
  if (from < 0 && to > 0) found.append(svg("line", { x1: x(0), x2: x(0), y1: 0, y2: 18, class: "zero" }));
  if (known(low)) found.append(svg("line", { x1: x(low), x2: x(high), y1: 9, y2: 9, stroke: "var(--accent)", "stroke-width": 3, opacity: 0.5 }));
  if (known(mean)) found.append(svg("circle", { cx: x(mean), cy: 9, r: 4.5, fill: "var(--accent)" }));
  found.append(tip(interval(mean, low, high)));
  return styled(found, { width: `${width}px` });
}

// the scores of a call's quarters, from -5 to 5; bars end at `reach`
function quarterChart(values, party, reach) {
  const shown = values.map((value, index) => `quarter ${index + 1} ${score(value)}`).join(", ");
  return chart(`Scores of the quarters of ${party}: ${shown}`, 96, (width, height) => {
    const slot = Math.min(width, 420) / 4, middle = 40, half = 28;
    const found = [svg("line", { x1: 0, x2: slot * 4, y1: middle, y2: middle, class: "axis" })];
    values.forEach((value, index) => {
      const at = slot * index + slot / 2, tall = known(value) ? (Math.abs(value) / reach) * half : 0;
      const paint = value < 0 ? "var(--negative)" : "var(--positive)";
      found.push(svg("rect", { x: at - slot * 0.28, y: value < 0 ? middle : middle - tall, width: slot * 0.56, height: Math.max(tall, known(value) ? 1.5 : 0), rx: 2, fill: paint }));
      found.push(svg("text", { x: at, y: value < 0 ? middle - 5 : middle + 14, "text-anchor": "middle" }, score(value)));
      found.push(svg("text", { x: at, y: height - 4, "text-anchor": "middle" }, `quarter ${index + 1}`));
    });
    return found;
  });
}
