"use strict";
// The page: its tasks, drawn when they come into view; one filter for all; links to tasks and runs.

(() => {
  const parsed = id => JSON.parse(document.getElementById(id).textContent);
  const setting = parsed("setting");
  const input = document.getElementById("filter");
  let words = [];

  const tasks = [...document.querySelectorAll("section.task")].map(section => {
    const number = section.dataset.number;
    let rest = null;
    return {
      section, name: section.dataset.task, board: parsed(`board-${number}`), tables: {}, drawn: new Map(),
      // Runs and pictures are most of the page; they are read when first needed.
      get rest() { return rest ??= parsed(`rest-${number}`); },
      holds(key) { return document.getElementById(`rest-${number}`).textContent.includes(`"${key}"`); },
    };
  });

  const matcher = task => model => {
    const text = `${task.name} ${model}`.toLowerCase();
    return words.every(word => text.includes(word));
  };
  // The best models of what the filter leaves: as many as can be told apart in a chart.
  function modelsOf(task) {
    const names = task.board.map(row => row.model).filter(matcher(task));
    return { shown: new Set(names.slice(0, setting.most.models)), total: names.length };
  }

  function interval(row, [low, high]) {
    const place = value => `${100 * Math.min(Math.max((value - low) / (high - low || 1), 0), 1)}%`;
    const { bits_per_dim: mean, bits_per_dim_low: from, bits_per_dim_high: to } = row;
    if (mean === null) return null;
    const known = from !== null && row.bound !== "exact";
    const text = known ? `95 % interval from ${fixed(from, 4)} to ${fixed(to, 4)}` : "no interval";
    const drawn = element("span", { class: "interval", role: "img", "aria-label": text, title: text });
    if (known) {
      const bar = element("span", { class: "range" });
      bar.style.left = place(from);
      bar.style.right = `calc(100% - ${place(to)})`;
      drawn.append(bar);
    }
    const stroke = element("span", { class: "mean" });
    stroke.style.left = place(mean);
    drawn.append(mean > high ? element("span", { class: "beyond" }, "▸") : stroke);
    return drawn;
  }
  // One axis for a task's intervals; a row far worse than the others must not squeeze them.
  function axisOf(board) {
    const means = board.map(row => row.bits_per_dim).filter(mean => mean !== null).sort((a, b) => a - b);
    const at = share => means[Math.floor(share * (means.length - 1))];
    const limit = at(0.75) + 1.5 * (at(0.75) - at(0.25));
    const near = board.filter(row => row.bits_per_dim !== null && row.bits_per_dim <= limit);
    return near.flatMap(row => [row.bits_per_dim_low ?? row.bits_per_dim, row.bits_per_dim_high ?? row.bits_per_dim])
      .reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
  }

  const NOT_ITS_COMMITS = "the code was not that of the commit that is named";
  const dirtyMark = text => element("span", { class: "dirty", title: text, "aria-label": text }, " dirty");

  function drawBoard(task) {
    const axis = axisOf(task.board);
    const plain = (name, title, hint) => ({ title, hint, value: row => row[name], show: row => row.text[name] });
    const count = (name, title, hint) => ({ title, hint, value: row => row[name], show: row => row[name] ?? "–" });
    const measured = (name, title, digits, hint) => ({ title, hint, value: row => row[name],
      show: row => row[name] == null ? "–" : fixed(row[name], digits) });
    task.tables.board = pagedTable(task.section.querySelector(".board"), {
      label: `Leaderboard of ${task.name}`, rows: task.board,
      columns: [
        plain("rank", "rank", "by bits/dim; in brackets an order of means without an error"),
        { title: "model", kind: "name", value: row => row.model, show: row => element("button",
          { type: "button", title: "show the runs of this model", onclick: () => showRuns(task, row.model) }, breakable(row.model),
          row.dirty ? dirtyMark(`${row.dirty} of its runs: ${NOT_ITS_COMMITS}`) : null,
          row.plugin ? element("span", { class: "plugin", title: row.plugin }, " plugin") : null) },
        { title: "bits/dim", value: row => row.bits_per_dim, show: row => element("span", {},
          element("span", { class: "value" }, row.text.bits_per_dim), interval(row, axis)) },
        { title: "ranks", hint: "the ranks that comparisons of all pairs of models leave open with 95 % confidence",
          value: row => row.rank_low, show: row => row.text.ranks },
        plain("bits_per_dim_to_best", "Δ to best other ranked row", "difference of bits/dim to the smallest of the other ranked rows; best and behind hold in all rows together with 95 % confidence"),
        count("seeds", "seeds"), count("failed", "failed"), count("bound", "bound"), count("importance_samples", "K"),
        plain("log_likelihood", "log-lik.", "nats, exact or the bound L_K, that bits/dim is taken from"),
        plain("elbo", "ELBO"), plain("reconstruction", "reconstr."), plain("mutual_information", "mutual inf."),
        plain("marginal_kl", "marginal KL"), plain("active_units", "active"), plain("sharpness", "sharpness"),
        measured("effective_sample_size_median", "ESS", 1, "median effective sample size of the K weights of L_K; near 1 a single draw is the whole sum"),
        measured("pareto_k_above_threshold", "k̂ high", 2, "share of the images whose weights have a tail too heavy for K draws"),
        measured("bound_rise", "rise", 3, "nats by which L_K is above L_{K/2} of the same draws; where it is large, more draws raise the bound further"),
      ],
    });
    task.tables.board.filter(row => matcher(task)(row.model));
  }

  function drawRuns(task) {
    const { runs } = task.rest, host = task.section.querySelector(".runs");
    const rows = runs.key.map((_, i) => runAt(runs, i));
    const number = (title, value, digits) => ({ title, value,
      show: row => value(row) == null ? "–" : digits === null ? String(value(row)) : fixed(value(row), digits) });
    const id = `runs-filter-${task.section.dataset.number}`;
    const own = element("input", { id, type: "search", autocomplete: "off", spellcheck: "false" });
    const place = element("div");
    host.replaceChildren(element("p", { class: "filter" },
      element("label", { for: id }, "Runs with (model, key, status, seed=1)"), " ", own), place);
    const table = pagedTable(place, {
      label: `Runs of ${task.name}`, rows, className: row => row.status === "failed" ? "failed" : null,
      detail: row => runDetail(task.name, setting.sweep, runs, row),
      opened: row => history.replaceState(null, "", `#run-${row.key}`),
      columns: [
        { title: "run", kind: "left", value: row => row.key, show: row => row.key },
        { title: "model", kind: "name", value: row => row.model, show: row => breakable(row.model) },
        number("seed", row => row.seed, null),
        { title: "status", kind: "left", value: row => row.status, show: row => element("span", {}, row.status,
          row.dirty ? dirtyMark(NOT_ITS_COMMITS) : null) },
        number("bits/dim", row => row.test.bits_per_dim, 4), number("ELBO", row => row.test.elbo, 2),
        number("parameters", row => row.parameters, null), number("epochs", row => row.epochs, null),
        number("fit (s)", row => row.timing.fit_seconds, 1),
      ],
    });
    const text = row => `${row.model} ${row.key} ${row.status} ${row.dirty ? "dirty" : ""} seed=${row.seed} `.toLowerCase();
    function refilter() {
      const wanted = own.value.toLowerCase().split(/\s+/).filter(Boolean);
      table.filter(row => matcher(task)(row.model) && wanted.every(word =>
        word.startsWith("seed=") ? `seed=${row.seed}` === word : text(row).includes(word)));
    }
    own.addEventListener("input", refilter);
    task.tables.runs = { refilter, own, reveal: key => table.reveal(rows.find(row => row.key === key)) };
    refilter();
  }
  function showRuns(task, model) {
    needRuns(task);
    task.tables.runs.own.value = model;
    task.tables.runs.refilter();
    task.section.querySelector(".runs").scrollIntoView();
    task.tables.runs.own.focus({ preventScroll: true });
  }

  async function drawChart(task, figure) {
    const name = figure.dataset.chart, host = figure.querySelector(".plots");
    const turn = (figure.turn ?? 0) + 1;
    figure.turn = turn;
    for (const view of task.drawn.get(figure) ?? []) view.finalize();
    task.drawn.set(figure, []);
    const { shown, total } = modelsOf(task);
    const plots = plotsOf(name, task, shown, matcher(task)).filter(plot => plot.rows.length || plot.others?.length);
    figure.hidden = plots.length === 0;
    figure.querySelector(".note").textContent = noteOf(name, shown.size, total);
    host.replaceChildren();
    const places = plots.map(plot => {
      const place = element("div", { role: "img", "aria-label": plot.title ?? figure.getAttribute("aria-label") });
      if (plot.heading) host.append(element("h4", { class: "wide" }, plot.heading));
      host.append(element("div", {}, plot.title ? element("h4", {}, plot.title) : null, place));
      return [place, plot];
    });
    for (const [place, plot] of places) {
      const view = await drawPlot(place, setting.charts[name], plot);
      // While this was being drawn another drawing may have begun.
      if (figure.turn !== turn) { view.finalize(); return; }
      task.drawn.get(figure).push(view);
    }
    figure.dataset.drawn = "true";
  }
  function noteOf(name, shown, total) {
    if (shown === total) return "";
    if (name === "parameters" || name === "seconds") return `The best ${shown} of ${total} models have colours, the others are grey.`;
    return `The best ${shown} of ${total} models are shown; the filter chooses others.`;
  }

  function drawPictures(task, figure) {
    const { data, rows, width } = task.rest.pictures, { shown } = modelsOf(task);
    // Whole pixels of the screen for each of a picture's, as many as let three stand in a line.
    const scale = Math.max(1, Math.floor(Math.min(190, (figure.clientWidth - 16) / 3) / width));
    const picture = (encoded, text) => {
      const image = element("img", { alt: text, src: `data:image/png;base64,${encoded}` });
      image.addEventListener("load", () => { image.style.width = `${image.naturalWidth * scale}px`; });
      return element("figure", {}, image, element("figcaption", {}, text));
    };
    const set = (title, images) => element("div", { class: "set" }, element("h4", {}, title), element("div", {}, ...images));
    const sets = rows.filter(row => shown.has(row.model)).map(row => set(`${row.model}, seed ${row.seed}`,
      Object.entries(row.images).map(([kind, encoded]) => picture(encoded, setting.pictures[kind]))));
    if (data && sets.length) sets.unshift(set("data", [picture(data, setting.pictures.data)]));
    figure.hidden = sets.length === 0;
    figure.querySelector(".rows").replaceChildren(...sets);
  }

  function needRuns(task) { if (!task.tables.runs) drawRuns(task); }
  function draw(task, place) {
    if (place.matches(".runs")) needRuns(task);
    else if (place.matches(".chart")) drawChart(task, place);
    else if (place.matches(".pictures")) drawPictures(task, place);
  }
  const places = new Map(tasks.flatMap(task =>
    [...task.section.querySelectorAll(".chart, .pictures, .runs")].map(place => [place, task])));
  const seen = new Set();
  const observer = new IntersectionObserver(entries => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting && !seen.has(target)) { seen.add(target); draw(places.get(target), target); }
    }
  }, { rootMargin: "400px" });
  tasks.forEach(drawBoard);
  for (const place of places.keys()) observer.observe(place);

  function redraw() {
    for (const place of seen) if (place.matches(".chart, .pictures")) draw(places.get(place), place);
  }
  function refilter() {
    words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let rows = 0, left = 0;
    for (const task of tasks) {
      const { total } = modelsOf(task);
      const other = words.length === 0 || task.board.length === 0 && matcher(task)("");
      task.section.hidden = total === 0 && !other;
      rows += total;
      left += !task.section.hidden;
      task.tables.board.filter(row => matcher(task)(row.model));
      task.tables.runs?.refilter();
    }
    document.getElementById("matches").textContent = words.length ? `${rows} models in ${left} tasks` : "";
    redraw();
  }
  let waiting = null;
  input.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(refilter, 200); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  function follow() {
    const [, kind, name] = /^#(run|task)-(.*)$/.exec(location.hash) ?? [];
    if (!kind) return;
    if (input.value) { input.value = ""; refilter(); }
    if (kind === "task") {
      tasks.find(task => [task.name, encodeURIComponent(task.name)].includes(name))?.section.scrollIntoView();
      return;
    }
    const task = tasks.find(task => task.holds(name) && task.rest.runs.key.includes(name));
    if (!task) return;
    needRuns(task);
    task.tables.runs.own.value = "";
    task.tables.runs.refilter();
    task.tables.runs.reveal(name);
  }
  addEventListener("hashchange", follow);
  follow();
})();
