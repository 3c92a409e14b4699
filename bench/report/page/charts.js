"use strict";
// The rows of each chart, and how it is drawn: Vega-Lite with the page's own colours.

// More marks than this are drawn on a canvas, which is faster; else as SVG, which is sharper.
const MOST_SVG_MARKS = 1500;

function ranked(board) {
  return new Map(board.map((row, position) => [row.model, position]));
}

function decompositionRows(task, models) {
  const rank = ranked(task.board), rows = [];
  for (const row of task.board.filter(row => models.has(row.model))) {
    const parts = { "mutual information": row.mutual_information, "marginal KL": row.marginal_kl,
      "−reconstruction": row.reconstruction === null ? null : -row.reconstruction };
    if (row.log_n === null || Object.values(parts).includes(null)) continue;
    Object.entries(parts).forEach(([term, nats], order) => rows.push({ model: row.model, rank: rank.get(row.model),
      term, nats, order, log_n: row.log_n, log_n_label: `log n = ${row.log_n.toFixed(2)}` }));
  }
  return rows;
}

function runRows(task, keep) {
  const { runs } = task.rest, rank = ranked(task.board);
  return runs.key.map((key, i) => ({ key, model: runs.model[i], seed: runs.seed[i],
    rank: rank.get(runs.model[i]) ?? task.board.length, bits_per_dim: runs.test.bits_per_dim?.[i] ?? null,
    parameters: runs.parameters[i], fit_seconds: runs.timing.fit_seconds?.[i] ?? null,
  })).filter(row => row.bits_per_dim !== null && keep(row)).sort((a, b) => a.rank - b.rank);
}

function costRows(task, models, name, matches) {
  return runRows(task, row => matches(row.model) && row.parameters > 0 && row[name] > 0)
    .map(row => ({ ...row, group: models.has(row.model) ? row.model : "others" }))
    .sort((a, b) => (a.group === "others") - (b.group === "others"));
}

// A chart with a line for each model is as high as these need.
function withHeight(rows) {
  return { rows, height: 26 * new Set(rows.map(row => row.model)).size };
}

// Returns what to draw: {title, rows, more data sets, parameters} for each plot of a figure.
function plotsOf(name, task, models, matches) {
  if (name === "decomposition") return [withHeight(decompositionRows(task, models))];
  if (name === "seeds") return [withHeight(runRows(task, row => models.has(row.model)))];
  if (name === "parameters") return [{ rows: costRows(task, models, "parameters", matches) }];
  if (name === "seconds") return [{ rows: costRows(task, models, "fit_seconds", matches) }];
  return task.rest.curves.filter(curve => models.has(curve.model)).map(curve => {
    const rows = curve.lines.flatMap(({ seed, points }) => points.flatMap(([epoch, train, validation]) => [
      { seed, epoch, series: "train", nats: train }, { seed, epoch, series: "validation", nats: validation }]));
    const nats = rows.map(row => row.nats);
    const range = curve.range ?? [nats.reduce((a, b) => Math.min(a, b)), nats.reduce((a, b) => Math.max(a, b))];
    return { title: curve.model, rows, best: curve.lines.map(({ best }) => ({ epoch: best ?? 0 })), range };
  });
}

function colors() {
  const style = getComputedStyle(document.documentElement);
  const color = name => style.getPropertyValue(name).trim();
  const text = color("--text"), faint = color("--faint"), line = color("--line");
  const font = "system-ui, sans-serif", narrow = innerWidth < 600, labelLimit = narrow ? 105 : 170;
  return {
    background: null, font, view: { stroke: null }, mark: { tooltip: true },
    axis: { labelColor: text, titleColor: faint, titleFontWeight: "normal", gridColor: line, domainColor: faint,
      tickColor: faint, labelLimit, labelFontSize: 11, titleFontSize: 11.5 },
    legend: { labelColor: text, titleColor: faint, orient: "top", labelLimit,
      ...(narrow ? { columns: 2 } : {}) },
    rule: { color: text }, text: { color: text, fontSize: 11 }, tick: { color: text },
  };
}

// Draw a plot into an element; returns its view, which must be finalized when it goes.
async function drawPlot(host, specification, plot) {
  const spec = structuredClone(specification);
  spec.datasets = { rows: plot.rows, ...(plot.best ? { best: plot.best } : {}) };
  if (plot.height) spec.height = plot.height;
  if (plot.range) for (const param of spec.params) param.value = plot.range[param.name === "low" ? 0 : 1];
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  // ast: expressions are interpreted, so that the page can forbid the making of code from text.
  const { view } = await vegaEmbed(host, spec, { mode: "vega-lite", actions: false, ast: true, config: colors(),
    renderer: plot.rows.length > MOST_SVG_MARKS ? "canvas" : "svg", tooltip: { theme: dark ? "dark" : "light" } });
  view.addEventListener("click", (_, item) => {
    if (item?.datum?.key) location.hash = `run-${item.datum.key}`;
  });
  return view;
}
