"use strict";
// A table that is sorted, filtered and paged, and folds columns away. Text goes in as text, never as HTML.

const PAGE = 50;
// On screens narrower than this, all columns stand below each other, a block for each row.
const STACKED_BELOW = 700;
const COLLATOR = new Intl.Collator("en", { numeric: true });

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") made.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

// A number with so many decimals, or a huge one in scientific notation, as in the tables.
function fixed(value, decimals) {
  return Math.abs(value) < 1e7 ? value.toFixed(decimals) : value.toExponential(Math.max(decimals, 3));
}

// A name that may be broken after what separates its words.
function breakable(text) {
  const parts = text.split(/(?<=[_=.\/])/);
  return element("span", {}, ...parts.flatMap((part, i) => (i ? [element("wbr"), part] : [part])));
}

function compare(a, b) {
  return typeof a === "string" ? COLLATOR.compare(a, b) : a - b;
}

// columns: {title, value(row), show(row), kind, hint, keep}; what has no value stands last, either way.
// keep: columns with a smaller one stay longer where there is no room for all; those without one are
// shown by the button below alone. detail(row), if given, is what a row opens to; its first column's
// button opens it.
function pagedTable(host, { label, columns, rows, className = () => null, detail = null, opened = () => {} }) {
  let shown = rows, page = 0, sorted = null, descending = false, every = false;
  const open = new Set();
  const kept = [...columns.keys()].filter(i => columns[i].keep !== undefined)
    .sort((a, b) => columns[a].keep - columns[b].keep);
  let visible = new Set(kept);
  const body = element("tbody");
  const heads = columns.map((column, position) => element("th",
    { scope: "col", class: column.kind, title: column.hint, "aria-sort": "none" },
    element("button", { type: "button", onclick: () => sortBy(position) }, column.title)));
  const table = element("table", { "aria-label": label },
    element("thead", {}, element("tr", {}, ...heads)), body);
  const scroll = element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);
  const count = element("span", { role: "status" });
  const back = element("button", { type: "button", onclick: () => turn(-1) }, "previous");
  const next = element("button", { type: "button", onclick: () => turn(1) }, "next");
  const fold = element("button", { type: "button", class: "fold", "aria-pressed": "false", onclick: () => {
    every = !every;
    fit();
  } });
  host.replaceChildren(scroll, element("div", { class: "below" }, count, fold, back, next));

  function ordered(chosen) {
    if (sorted === null) return chosen;
    const { value } = columns[sorted], sign = descending ? -1 : 1;
    const known = chosen.filter(row => value(row) !== null && value(row) !== undefined);
    const unknown = chosen.filter(row => value(row) === null || value(row) === undefined);
    return [...known.sort((a, b) => sign * compare(value(a), value(b))), ...unknown];
  }
  function sortBy(position) {
    descending = sorted === position && !descending;
    sorted = position;
    heads.forEach((head, other) => head.setAttribute("aria-sort",
      other !== position ? "none" : descending ? "descending" : "ascending"));
    page = 0;
    shown = ordered(shown);
    draw();
  }
  function turn(by) { page += by; draw(); }
  function toggle(row) {
    if (open.has(row)) open.delete(row); else { open.add(row); opened(row); }
    draw();
    body.querySelector(`tr[data-position="${rows.indexOf(row)}"] button`).focus({ preventScroll: true });
  }
  function line(row) {
    const cells = columns.map((column, position) => {
      let content = column.show(row);
      if (position === 0 && detail) {
        content = element("button", { type: "button", "aria-expanded": open.has(row), onclick: () => toggle(row) },
          (open.has(row) ? "▾ " : "▸ ") + content);
      }
      return element("td", { class: column.kind, "data-title": column.title }, content);
    });
    const made = [element("tr", { class: className(row), "data-position": rows.indexOf(row) }, ...cells)];
    if (detail && open.has(row)) {
      made.push(element("tr", {}, element("td", { class: "detail", colspan: columns.length }, detail(row))));
    }
    return made;
  }
  function hide(tr) {
    [...tr.cells].forEach((cell, position) => {
      if (!cell.classList.contains("detail")) cell.classList.toggle("folded", !visible.has(position));
    });
  }
  function show(positions, stacked) {
    visible = new Set(positions);
    table.classList.toggle("stacked", stacked);
    table.classList.toggle("tight", every && !stacked);
    [...table.rows].forEach(hide);
  }
  // Fold columns away until the others have room; the button below shows all of them.
  function fit() {
    const width = scroll.clientWidth;
    if (!width) return;
    if (every) show(columns.keys(), width < STACKED_BELOW);
    else {
      const chosen = [...kept];
      show(chosen, false);
      while (table.offsetWidth > width && chosen.length > 1) { chosen.pop(); show(chosen, false); }
      if (table.offsetWidth > width) show(kept, true);
    }
    const few = visible.size < columns.length;
    fold.hidden = !few && !every;
    fold.setAttribute("aria-pressed", String(every));
    fold.textContent = few ? `all ${columns.length} columns` : "fewer columns";
  }
  function draw() {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    body.replaceChildren(...shown.slice(page * PAGE, (page + 1) * PAGE).flatMap(line));
    const filtered = shown.length < rows.length ? ` of ${rows.length}` : "";
    count.textContent = `${shown.length}${filtered} rows` + (pages > 1 ? `, page ${page + 1} of ${pages}` : "");
    back.hidden = next.hidden = pages === 1;
    back.disabled = page === 0;
    next.disabled = page === pages - 1;
    [...body.rows].forEach(hide);
    fit();
  }
  draw();
  let fitted = scroll.clientWidth;
  new ResizeObserver(() => {
    if (scroll.clientWidth === fitted) return;  // its height alone has changed
    fitted = scroll.clientWidth;
    requestAnimationFrame(fit);
  }).observe(scroll);
  return {
    filter(keep) { shown = ordered(rows.filter(keep)); page = 0; draw(); },
    // Turn to a row's page, open it, and bring it into view.
    reveal(row) {
      page = Math.floor(shown.indexOf(row) / PAGE);
      open.add(row);
      draw();
      const place = body.querySelector(`tr[data-position="${rows.indexOf(row)}"]`);
      place.scrollIntoView({ block: "start" });
      place.querySelector("button").focus({ preventScroll: true });
    },
  };
}
