// A table that sorts, filters and shows a page of its rows at a time.
// columns: { name, title, numeric, value(row), cell(row), first: direction of the first click }
function makeTable({ columns, rows, size, sorted, open, className = "", counted, pages = true }) {
  let order = sorted, chosen = rows, page = 0, accepts = () => true;
  const body = el("tbody"), head = el("tr"), state = el("span", { class: "soft small", role: "status", "aria-live": "polite" });
  const back = el("button", { class: "plain", type: "button", onclick: () => turn(page - 1) }, "Previous");
  const next = el("button", { class: "plain", type: "button", onclick: () => turn(page + 1) }, "Next");
  const sizes = el("select", { onchange: () => { size = Number(sizes.value); turn(0); } },
    [25, 50, 100, 500].map((each) => el("option", { value: each, selected: each === size }, String(each))));

  function turn(to) {
    page = Math.max(0, Math.min(to, Math.ceil(chosen.length / size) - 1));
    const from = page * size, shown = chosen.slice(from, from + size);
    body.replaceChildren(...shown.map((row) => el("tr",
      open ? { onclick: () => open(row, chosen) } : {},
      columns.map((column) => el("td", { class: column.numeric ? "number" : null }, column.cell(row))))));
    back.disabled = page === 0;
    next.disabled = from + size >= chosen.length;
    state.textContent = chosen.length
      ? `${number(from + 1)} to ${number(from + shown.length)} of ${counted(chosen.length)}`
      : "nothing fits these filters";
  }

  function apply() {
    const column = columns.find((each) => each.name === order.by);
    chosen = rows.filter(accepts);
    if (column) {
      const keys = new Map(chosen.map((row) => [row, column.value(row)]));
      chosen.sort((one, other) => compare(keys.get(one), keys.get(other), order.down) || one - other);
    }
    for (const cell of head.children) {
      cell.setAttribute("aria-sort", cell.dataset.name !== order.by ? "none" : order.down ? "descending" : "ascending");
    }
    turn(0);
  }

  function sortBy(column) {
    const down = order.by === column.name ? !order.down : Boolean(column.numeric);
    order = { by: column.name, down };
    apply();
  }

  function build() {
    head.replaceChildren(...columns.map((column) => el("th",
      { scope: "col", class: column.numeric ? "number" : null, "data-name": column.name, title: column.title },
      column.value ? el("button", { type: "button", onclick: () => sortBy(column) }, column.name) : column.name)));
    apply();
  }

  build();
  const table = el("table", { class: className }, el("thead", {}, head), body);
  return {
    element: el("div", {}, el("div", { class: "scroll", tabindex: "-1" }, table),
      pages && el("div", { class: "pager" }, back, next, state, el("label", { class: "small soft" }, "rows ", sizes))),
    filter: (test) => { accepts = test; apply(); },
    replace: (others) => { columns = others; build(); },
  };
}

// what is not known comes last, whatever the direction
function compare(one, other, down) {
  if (!known(one) || !known(other)) return known(one) ? -1 : known(other) ? 1 : 0;
  const found = typeof one === "string" ? one.localeCompare(other, "en", { numeric: true }) : one - other;
  return down ? -found : found;
}
