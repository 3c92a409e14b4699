"use strict";
// The rows of each chart, and how it is drawn: Vega-Lite with the page's own colours.

// More marks than this are drawn on a canvas, which is faster; else as SVG, which is sharper.
const MOST_SVG_MARKS = 1500;

function ranked(board) {
  return new Map(board.map((row, position) => [row.model, position]));
}

const WHOLE = "−ELBO as a whole";
// Each bar's parts from its start to its end, with the texts of the leaderboard.
function decompositionPlot(task, models) {
  const rank = ranked(task.board), rows = [];
  for (const row of task.board.filter(row => models.has(row.model) && row.elbo !== null && row.log_n !== null)) {
    const parts = { "mutual information": row.mutual_information, "marginal KL": row.marginal_kl,
      "−reconstruction": row.reconstruction === null ? null : -row.reconstruction };
    const names = { "mutual information": "mutual_information", "marginal KL": "marginal_kl", "−reconstruction": "reconstruction" };
    const divided = !Object.values(parts).includes(null);
    if (!divided && !isUndivided(row)) continue;
    let start = 0;
    for (const [term, nats] of Object.entries(divided ? parts : { [WHOLE]: -row.elbo })) {
      rows.push({ model: row.model, rank: rank.get(row.model), term, nats, start, end: start + nats, middle: start + nats / 2,
        label: row.text[names[term] ?? "elbo"].replace(/^-/, ""), total: -row.elbo, log_n: row.log_n,
        log_n_label: `log n = ${fixed(row.log_n, 2)}`, total_label: divided && term === "−reconstruction" ? row.text.elbo.replace(/^-/, "") : "" });
      start += nats;
    }
  }
  const narrow = innerWidth < 600, ends = rows.flatMap(row => [row.start, row.end]);
  // Room for the sums; a density may have a positive reconstruction, whose bar goes back.
  const [least, most] = [Math.min(0, ...ends), Math.max(1e-9, ...ends) * (narrow ? 1.25 : 1.12)];
  const labelled = rows.map(row => ({ ...row, label: row.nats > (narrow ? 0.18 : 0.07) * most ? row.label : "" }));
  return { ...withHeight(labelled), values: { least, most } };
}
// A flow: its encoder is deterministic, so its KL and its marginal KL are infinite.
function isUndivided(row) {
  return row.marginal_kl === null && row.mutual_information !== null && row.elbo !== null;
}
function wholeNote(task, models) {
  const own = task.board.filter(row => models.has(row.model));
  const flows = own.filter(isUndivided).map(row => row.model);
  const without = own.filter(row => row.mutual_information === null && row.elbo !== null).map(row => row.model);
  return [
    flows.length ? `${flows.join(", ")} cannot be taken apart: a flow's encoder is deterministic, so its KL and its marginal KL are infinite, and its mutual information is log n. The bar is its −ELBO as a whole.` : "",
    without.length ? `${without.join(", ")} ${without.length > 1 ? "have" : "has"} no latent variable, so there is nothing to take apart.` : "",
  ].filter(Boolean).join(" ");
}

// Dots within the axis, and a label at its end for each model that is far beyond it.
function seedsPlot(task, models) {
  const [, high] = axisOf(task.board), rank = ranked(task.board);
  const far = task.board.filter(row => models.has(row.model) && row.bits_per_dim > high);
  const names = new Set(far.length === models.size ? [] : far.map(row => row.model));
  const rows = runRows(task, row => models.has(row.model) && !names.has(row.model));
  const others = far.filter(row => names.has(row.model))
    .map(row => ({ model: row.model, rank: rank.get(row.model), label: `${row.text.bits_per_dim} ▸` }));
  return { ...withHeight([...rows, ...others]), rows, others };
}
function beyondNote(task, models) {
  const [, high] = axisOf(task.board);
  const far = task.board.some(row => models.has(row.model) && row.bits_per_dim > high);
  return far ? "The axis is broken: ▸ marks models far beyond its end, with their bits/dim." : "";
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
  const plot = (title, massOf, range) => {
    const rows = [...ours.keys()].map(cell => {
      const left = low[0] + (cell % side) * steps[0], lower = low[1] + Math.floor(cell / side) * steps[1];
      return { left, right: left + steps[0], lower, upper: lower + steps[1], mass: massOf(cell) / 255 };
    }).filter(({ mass }) => mass !== 0);
    const most = rows.reduce((largest, { mass }) => Math.max(largest, Math.abs(mass)), 0.01);
    // The power of 1/2 makes small masses visible, of either sign.
    const domain = range.length > 2 ? [-most, 0, most] : [0, 1], marked = range.length > 2 ? domain : [0, 0.25, 0.5, 1];
    const scale = { type: "pow", exponent: 0.5, interpolate: "rgb", range, domain };
    return { title, model, rows, canvas: true, scale, marked, height: 190,
      values: { low: low[0], high: high[0], bottom: low[1], top: high[1] } };
  };
  const percent = Math.round(100 * (share[0] + share[1]));
  const [none, blue, orange] = ["--page", "--m0", "--m1"].map(colorOfPage);
  return [
    { ...plot("prior", cell => ours[cell], [none, blue]),
      heading: `${model}, seed ${seed}: these axes have ${percent} % of the variance of the encodings’ means` },
    plot("q_agg", cell => theirs[cell], [none, orange]),
    plot("q_agg − prior", cell => theirs[cell] - ours[cell], [blue, none, orange]),
  ];
}
function colorOfPage(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

// Returns what to draw: {rows, others, best, model, title, heading, height, scale, values of parameters} for each plot of a figure.
function plotsOf(name, task, models, matches) {
  if (name === "decomposition") return [decompositionPlot(task, models)];
  if (name === "seeds") return [seedsPlot(task, models)];
  if (name === "parameters") return [costRows(task, models, "parameters", matches)];
  if (name === "seconds") return [costRows(task, models, "fit_seconds", matches)];
  if (name === "latents") return task.rest.latents.filter(({ model }) => models.has(model)).flatMap(latentPlots);
  return task.rest.curves.filter(curve => models.has(curve.model)).map(curve => {
    const rows = curve.lines.flatMap(({ seed, points }) => points.flatMap(([epoch, train, validation]) => [
      { seed, epoch, series: "train", nats: train }, { seed, epoch, series: "validation", nats: validation }]));
    const nats = rows.map(row => row.nats);
    const [low, high] = curve.range ?? [nats.reduce((a, b) => Math.min(a, b)), nats.reduce((a, b) => Math.max(a, b))];
    return { title: curve.model, model: curve.model, rows, best: curve.lines.map(({ best }) => ({ epoch: best ?? 0 })), values: { low, high } };
  });
}

function colors() {
  const color = colorOfPage;
  const text = color("--text"), faint = color("--faint"), line = color("--line");
  const font = "system-ui, sans-serif", narrow = innerWidth < 600, labelLimit = narrow ? 125 : 170;
  return {
    background: null, font, view: { stroke: null }, mark: { tooltip: true },
    axis: { labelColor: text, titleColor: faint, titleFontWeight: "normal", gridColor: line, domainColor: faint,
      tickColor: faint, labelLimit, labelFontSize: 11, titleFontSize: 11.5 },
    legend: { labelColor: text, titleColor: faint, orient: "top", labelLimit,
      ...(narrow ? { columns: 1 } : {}) },
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

// The colours and marks of the page's models, whichever of them a plot has.
function colorModels(encoding, { scale, marked, model }, rows) {
  const domain = [...new Set(rows.map(row => row.model))];
  if (encoding.color?.field === "model") encoding.color.scale = { domain, range: domain.map(name => colorOfPage(colorName(name))) };
  if (encoding.shape?.field === "model") encoding.shape.scale = { domain, range: domain.map(name => markOf(name)[0]) };
  if (encoding.color?.field === "mass") Object.assign(encoding.color, { scale, legend: { ...encoding.color.legend, values: marked } });
  if (encoding.color?.field === "term" && encoding.color.legend) {
    encoding.color.legend.values = encoding.color.scale.domain.filter(term => rows.some(row => row.term === term));
  }
  if (encoding.color?.datum === "model") encoding.color = { value: colorOfPage(colorName(model)) };
}

// Draw a plot into an element; returns its view, which must be finalized when it goes.
async function drawPlot(host, specification, plot) {
  await vegaLoaded;
  const spec = structuredClone(specification);
  const { rows, best = [], others = [] } = plot;
  spec.datasets = { rows, best, others };
  // A layer without rows has no extent, and Vega warns of it.
  spec.layer = spec.layer?.filter(layer => !layer.data || spec.datasets[layer.data.name].length);
  if (plot.height) spec.height = plot.height;
  for (const layer of spec.layer ?? [spec]) colorModels(layer.encoding, plot, rows);
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
