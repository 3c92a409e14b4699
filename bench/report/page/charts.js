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
      term, nats, order, log_n: row.log_n, log_n_label: `log n = ${fixed(row.log_n, 2)}` }));
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
  const all = runRows(task, row => matches(row.model) && row.parameters > 0 && row[name] > 0);
  return { rows: all.filter(row => models.has(row.model)), others: all.filter(row => !models.has(row.model)) };
}

// A chart with a row for each model is as high as these and the lines of their names need.
function withHeight(rows) {
  const models = [...new Set(rows.map(row => row.model))];
  const lines = Math.max(1, ...models.map(model => model.split(" ").length));
  return { rows, height: Math.max(26, 15 * lines) * models.length };
}

// Prior, aggregated posterior and their difference, a plot each.
function latentPlots({ model, seed, prior, aggregate, low, high, share }) {
  const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const [ours, theirs] = [bytes(prior), bytes(aggregate)], side = Math.sqrt(ours.length);
  const steps = [0, 1].map(axis => (high[axis] - low[axis]) / side);
  const plot = (title, kindOf, massOf) => {
    const rows = [...ours.keys()].map(cell => {
      const left = low[0] + (cell % side) * steps[0], lower = low[1] + Math.floor(cell / side) * steps[1];
      return { left, right: left + steps[0], lower, upper: lower + steps[1], kind: kindOf(cell), mass: massOf(cell) };
    }).filter(({ mass }) => mass > 0);
    return { title, rows, canvas: true, height: innerWidth < 600 ? 90 : 190,
      values: { low: low[0], high: high[0], bottom: low[1], top: high[1] } };
  };
  const percent = Math.round(100 * (share[0] + share[1]));
  return [
    { ...plot("prior", () => "prior", cell => ours[cell]),
      heading: `${model}, seed ${seed}: these axes have ${percent} % of the variance of the encodings’ means` },
    plot("q_agg", () => "q_agg", cell => theirs[cell]),
    plot("q_agg − prior", cell => (theirs[cell] < ours[cell] ? "hole" : "excess"),
      cell => Math.abs(theirs[cell] - ours[cell])),
  ];
}

// Returns what to draw: {rows, others, best, title, heading, height, values of parameters} for each plot of a figure.
function plotsOf(name, task, models, matches) {
  if (name === "decomposition") return [withHeight(decompositionRows(task, models))];
  if (name === "seeds") return [withHeight(runRows(task, row => models.has(row.model)))];
  if (name === "parameters") return [costRows(task, models, "parameters", matches)];
  if (name === "seconds") return [costRows(task, models, "fit_seconds", matches)];
  if (name === "latents") return task.rest.latents.filter(({ model }) => models.has(model)).flatMap(latentPlots);
  return task.rest.curves.filter(curve => models.has(curve.model)).map(curve => {
    const rows = curve.lines.flatMap(({ seed, points }) => points.flatMap(([epoch, train, validation]) => [
      { seed, epoch, series: "train", nats: train }, { seed, epoch, series: "validation", nats: validation }]));
    const nats = rows.map(row => row.nats);
    const [low, high] = curve.range ?? [nats.reduce((a, b) => Math.min(a, b)), nats.reduce((a, b) => Math.max(a, b))];
    return { title: curve.model, rows, best: curve.lines.map(({ best }) => ({ epoch: best ?? 0 })), values: { low, high } };
  });
}

function colors() {
  const style = getComputedStyle(document.documentElement);
  const color = name => style.getPropertyValue(name).trim();
  const text = color("--text"), faint = color("--faint"), line = color("--line");
  const font = "system-ui, sans-serif", narrow = innerWidth < 600, labelLimit = narrow ? 125 : 170;
  return {
    background: null, font, view: { stroke: null }, mark: { tooltip: true },
    axis: { labelColor: text, titleColor: faint, titleFontWeight: "normal", gridColor: line, domainColor: faint,
      tickColor: faint, labelLimit, labelFontSize: 11, titleFontSize: 11.5 },
    legend: { labelColor: text, titleColor: faint, orient: "top", labelLimit,
      ...(narrow ? { columns: 2 } : {}) },
    rule: { color: text }, text: { color: text, fontSize: 11 }, tick: { color: text },
  };
}

// Vega is in the page as gzip in base64. The page's policy names its hash, so that it may run.
const vegaLoaded = (async () => {
  const packed = Uint8Array.from(atob(document.getElementById("vega").textContent), c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
})();

// Draw a plot into an element; returns its view, which must be finalized when it goes.
async function drawPlot(host, specification, plot) {
  await vegaLoaded;
  const spec = structuredClone(specification);
  const { rows, best = [], others = [] } = plot;
  spec.datasets = { rows, best, others };
  // A layer without rows has no extent, and Vega warns of it.
  spec.layer = spec.layer?.filter(layer => !layer.data || spec.datasets[layer.data.name].length);
  if (plot.height) spec.height = plot.height;
  for (const param of spec.params ?? []) if (plot.values) param.value = plot.values[param.name];
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  // ast: expressions are interpreted, so that the page can forbid the making of code from text.
  const { view } = await vegaEmbed(host, spec, { mode: "vega-lite", actions: false, ast: true, config: colors(),
    renderer: plot.canvas || rows.length + others.length > MOST_SVG_MARKS ? "canvas" : "svg", tooltip: { theme: dark ? "dark" : "light" } });
  view.addEventListener("click", (_, item) => {
    if (item?.datum?.key) location.hash = `run-${item.datum.key}`;
  });
  return view;
}
