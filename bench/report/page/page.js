"use strict";
// The page: its tasks, drawn when they come into view; one filter for all; links to tasks and runs.

(() => {
  const parsed = id => JSON.parse(document.getElementById(id).textContent);
  const setting = parsed("setting");
  const input = document.getElementById("filter");
  let words = [];

  const links = document.querySelectorAll("nav[aria-label=Tasks] li");
  const tasks = [...document.querySelectorAll("section.task")].map((section, place) => {
    const number = section.dataset.number;
    let rest = null;
    return {
      section, link: links[place], name: section.dataset.task, board: parsed(`board-${number}`), tables: {}, drawn: new Map(),
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

  function drawBoard(task) {
    task.tables.board = pagedTable(task.section.querySelector(".board"), { label: `Leaderboard of ${task.name}`,
      rows: task.board, columns: boardColumns(task.board, model => showRuns(task, model)) });
    task.tables.board.filter(row => matcher(task)(row.model));
  }

  function drawRuns(task) {
    const { runs } = task.rest, host = task.section.querySelector(".runs");
    const rows = runs.key.map((_, i) => runAt(runs, i));
    const number = (title, keep, value, digits) => ({ title, keep, value,
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
        { title: "run", kind: "left", keep: 0, value: row => row.key, show: row => row.key },
        { title: "model", kind: "name", keep: 1, value: row => row.model,
          show: row => element("span", { class: "named" }, swatch(row.model), breakable(row.model)) },
        number("seed", 3, row => row.seed, null),
        { title: "status", kind: "left", keep: 4, value: row => row.status, show: row => element("span", {}, row.status,
          row.dirty ? dirtyMark(NOT_ITS_COMMITS) : null) },
        number("bits/dim", 2, row => row.test.bits_per_dim, 4), number("ELBO", 5, row => row.test.elbo, 2),
        number("parameters", 7, row => row.parameters, null), number("epochs", 8, row => row.epochs, null),
        number("fit (s)", 6, row => row.timing.fit_seconds, 1),
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
    delete figure.dataset.drawn;
    for (const view of task.drawn.get(figure) ?? []) view.finalize();
    task.drawn.set(figure, []);
    const { shown, total } = modelsOf(task);
    const plots = plotsOf(name, task, shown, matcher(task)).filter(plot => plot.rows.length || plot.others?.length);
    figure.hidden = plots.length === 0;
    figure.querySelector(".note").textContent = noteOf(name, task, shown, total);
    host.replaceChildren();
    const places = plots.map(plot => {
      const place = element("div", { role: "img", "aria-label": plot.title ?? figure.getAttribute("aria-label") });
      if (plot.heading) host.append(element("h4", { class: "wide" }, swatch(plot.model), plot.heading));
      const own = plot.model && !plot.heading && name === "curves" ? swatch(plot.model) : null;
      host.append(element("div", {}, plot.title ? element("h4", {}, own, plot.title) : null, place));
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
  function noteOf(name, task, shown, total) {
    const notes = name === "decomposition" ? [wholeNote(task, shown)] : name === "seeds" ? [beyondNote(task, shown)] : [];
    if (shown.size < total) {
      notes.push(name === "parameters" || name === "seconds"
        ? `The best ${shown.size} of ${total} models have colours, the others are grey.`
        : `The best ${shown.size} of ${total} models are shown; the filter chooses others.`);
    }
    return notes.filter(Boolean).join(" ");
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
    const set = (title, images, model) => element("div", { class: "set" },
      element("h4", {}, model ? swatch(model) : null, title), element("div", {}, ...images));
    const sets = rows.filter(row => shown.has(row.model)).map(row => set(`${row.model}, seed ${row.seed}`,
      Object.entries(row.images).map(([kind, encoded]) => picture(encoded, setting.pictures[kind])), row.model));
    if (data && sets.length) sets.unshift(set("data", [picture(data, setting.pictures.data)]));
    figure.hidden = sets.length === 0;
    figure.querySelector(".rows").replaceChildren(...sets);
  }

  function needRuns(task) { if (!task.tables.runs) drawRuns(task); }
  function draw(task, place) {
    if (place.matches(".runs")) needRuns(task);
    else if (place.matches(".chart")) return drawChart(task, place);
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
  tasks.forEach(task => number(task.board.map(row => row.model)));
  tasks.forEach(drawBoard);
  for (const place of places.keys()) observer.observe(place);
  // What never came into view must be there in print.
  async function drawTheRest() {
    for (const [place, task] of places) {
      if (seen.has(place) || task.section.hidden) continue;
      await new Promise(done => (globalThis.requestIdleCallback ?? setTimeout)(done));
      if (seen.has(place)) continue;
      seen.add(place);
      await draw(task, place);
    }
  }
  if (setting.draw_all) addEventListener("load", drawTheRest);
  addEventListener("beforeprint", drawTheRest);

  function redraw() {
    for (const place of seen) if (place.matches(".chart, .pictures")) draw(places.get(place), place);
  }
  function refilter() {
    words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let rows = 0, left = 0;
    for (const task of tasks) {
      const { total } = modelsOf(task);
      const other = words.length === 0 || task.board.length === 0 && matcher(task)("");
      task.section.hidden = task.link.hidden = total === 0 && !other;
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
  for (const query of ["(prefers-color-scheme: dark)", "(max-width: 600px)"]) matchMedia(query).addEventListener("change", redraw);

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
