"use strict";
// A model's colour and mark, and the leaderboard of a task.

// As many as page.css has colours, --m0 and on; a model beyond them differs by its mark.
const COLORS = 10;
const MARKS = [["circle", "●"], ["square", "■"], ["triangle-up", "▲"], ["diamond", "◆"], ["cross", "✚"], ["triangle-down", "▼"]];
const placeOf = new Map();
// A model has one colour and mark in all tasks, whatever the filter leaves.
function number(models) {
  for (const model of models) if (!placeOf.has(model)) placeOf.set(model, placeOf.size);
}
const colorName = model => `--m${(placeOf.get(model) ?? 0) % COLORS}`;
const markOf = model => MARKS[(placeOf.get(model) ?? 0) % MARKS.length];
function swatch(model) {
  return element("span", { class: "swatch", "aria-hidden": "true", style: `color: var(${colorName(model)})`, "data-mark": markOf(model)[1] });
}

// The range of a task's bits/dim that axes show: that of trained models, without one that is far worse than the others.
function axisOf(board) {
  const known = board.filter(row => row.bits_per_dim !== null), trained = known.filter(row => row.trained);
  const means = (trained.length ? trained : known).map(row => row.bits_per_dim).sort((a, b) => a - b);
  const quartile = share => {
    const place = share * (means.length - 1), below = Math.floor(place);
    return means[below] + (place - below) * (means[Math.ceil(place)] - means[below]);
  };
  const limit = quartile(0.75) + 1.5 * (quartile(0.75) - quartile(0.25));
  const near = known.filter(row => row.bits_per_dim <= limit);
  return near.flatMap(row => [row.bits_per_dim_low ?? row.bits_per_dim, row.bits_per_dim_high ?? row.bits_per_dim])
    .reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}

function interval(row, [low, high]) {
  const place = value => `${100 * Math.min(Math.max((value - low) / (high - low || 1), 0), 1)}%`;
  const { bits_per_dim: mean, bits_per_dim_low: from, bits_per_dim_high: to } = row;
  if (mean === null) return null;
  const known = from !== null && row.bound !== "exact";
  const range = known ? `95 % interval from ${fixed(from, 4)} to ${fixed(to, 4)}` : "no interval";
  const text = mean > high ? `beyond the end of this axis; ${range}` : range;
  const drawn = element("span", { class: "interval", role: "img", "aria-label": text, title: text });
  if (mean > high) {
    drawn.append(element("span", { class: "beyond" }, "▸"));
    return drawn;
  }
  if (known) {
    const bar = element("span", { class: "range" });
    bar.style.left = place(from);
    bar.style.right = `calc(100% - ${place(to)})`;
    drawn.append(bar);
  }
  const stroke = element("span", { class: "mean" });
  stroke.style.left = place(mean);
  drawn.append(stroke);
  return drawn;
}

const NOT_ITS_COMMITS = "the code was not that of the commit that is named";
const dirtyMark = text => element("span", { class: "dirty", title: text, "aria-label": text }, " dirty");

// onModel(model): what a click on a model's name does.
function boardColumns(board, onModel) {
  const axis = axisOf(board);
  const plain = (name, title, hint, keep) => ({ title, hint, keep, value: row => row[name], show: row => row.text[name] });
  const count = (name, title, hint, keep) => ({ title, hint, keep, value: row => row[name], show: row => row[name] ?? "–" });
  const measured = (name, title, digits, hint) => ({ title, hint, value: row => row[name],
    show: row => row[name] == null ? "–" : fixed(row[name], digits) });
  return [
    { title: "ranks", keep: 2, hint: "the places that intervals of all pairwise differences leave open, with 95 % confidence; in brackets an order of means without an error",
      value: row => row.rank, show: row => row.text.ranks === "–" ? row.text.rank : row.text.ranks },
    { title: "model", kind: "name", keep: 0, value: row => row.model, show: row => element("span", { class: "named" }, swatch(row.model), element("button",
      { type: "button", title: "show the runs of this model", onclick: () => onModel(row.model) }, breakable(row.model),
      row.dirty ? dirtyMark(`${row.dirty} of its runs: ${NOT_ITS_COMMITS}`) : null,
      row.plugin ? element("span", { class: "plugin", title: row.plugin }, " plugin") : null)) },
    { title: "bits/dim", kind: "bits", keep: 1, value: row => row.bits_per_dim, show: row => element("span", {},
      element("span", { class: "value" }, row.text.bits_per_dim), interval(row, axis)) },
    { ...plain("bits_per_dim_to_best", "Δ to best", "difference of bits/dim to the smallest of the other ranked rows; best and behind hold in all rows together with 95 % confidence", 3), kind: "wrapped" },
    plain("mutual_information", "mutual inf.", "what z tells of the image, nats; at most log n", 4),
    plain("marginal_kl", "marginal KL", "of q_agg from the prior, nats: what a better prior could save", 5),
    count("seeds", "seeds", undefined, 6),
    plain("rank", "rank", "the order of means by bits/dim"),
    count("failed", "failed"), count("bound", "bound", "the truth is at most this (upper) or equal to it (exact)"),
    { title: "K", hint: "samples of the importance-weighted bound; an exact log-likelihood needs none",
      value: row => row.importance_samples, show: row => row.importance_samples === 0 ? "exact" : row.importance_samples ?? "–" },
    plain("log_likelihood", "log-lik.", "nats, exact or the bound L_K, that bits/dim is taken from"),
    plain("elbo", "ELBO"), plain("reconstruction", "reconstr."),
    plain("active_units", "active"), plain("sharpness", "sharpness"),
    measured("effective_sample_size_median", "ESS", 1, "median effective sample size of the K weights of L_K; near 1 a single draw is the whole sum"),
    measured("pareto_k_above_threshold", "k̂ high", 2, "share of the images whose weights have a tail too heavy for K draws"),
    measured("bound_rise", "rise", 3, "nats by which L_K is above L_{K/2} of the same draws; where it is large, more draws raise the bound further"),
  ];
}
