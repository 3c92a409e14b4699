"use strict";
// What a run opens to: how to do it again, its numbers, its configuration, its environment.

function runAt(runs, i) {
  const column = part => Object.fromEntries(Object.entries(part).map(([name, values]) => [name, values[i]]));
  const names = ["key", "model", "seed", "status", "bound", "parameters", "epochs", "best_epoch", "reason", "dirty"];
  return { ...Object.fromEntries(names.map(name => [name, runs[name][i]])), position: i,
    test: column(runs.test), train: column(runs.train), timing: column(runs.timing) };
}

function configurationText(runs, run) {
  // As it was recorded, not written anew: 1.0 stays 1.0.
  return `{"seed": ${run.seed}, ${runs.configs[runs.config[run.position]].slice(1)}`;
}

// What a reader must know of the code before any command: only a commit can be fetched again.
function warnings(environment) {
  const words = [];
  if (environment.dirty) words.push("Dirty: the code was not that of this commit when this was run. No checkout makes it again, and it never counts as verified.");
  if (!environment.commit) {
    words.push(`The commit is unknown${environment.commit_unknown ? ` (${environment.commit_unknown})` : ""}: ` +
      `install version ${environment.version ?? "unknown"}, whose code has the SHA-256 ${environment.code_sha256 ?? "unknown"}.`);
  }
  return words.map(text => element("p", { class: "warning" }, text));
}

const quoted = word => /^[\w./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

// What whoever repeats the run needs from outside: code that parts of the model come from, and images.
function outsideOf(configuration) {
  const plugins = configuration.plugins ?? [], data = configuration.data ?? {};
  const notes = plugins.map(plugin => `Parts of the model come from ${plugin.name}` +
    `${plugin.version ? `, version ${plugin.version}` : ""}, whose code has the SHA-256 ${plugin.sha256}.`);
  if (data.pixels_sha256) notes.push(`The images ${data.name} are not the benchmark's; their pixels have the SHA-256 ${data.pixels_sha256}.`);
  return { plugins: plugins.map(plugin => ` --plugin ${quoted(plugin.name)}`).join(""),
    images: data.pixels_sha256 ? " --data.path IMAGES" : "", notes: notes.map(text => element("p", {}, text)) };
}

function commands(task, sweep, runs, run, environment, configuration) {
  const lines = [], outside = outsideOf(configuration);
  if (environment.commit) lines.push(`git checkout ${environment.commit}`, "make setup && source .venv/bin/activate");
  lines.push("cat > run.json <<'END'", configurationText(runs, run), "END", `bench train --config run.json${outside.plugins}${outside.images}`);
  const parts = [element("h4", {}, "Do it again"), ...warnings(environment), ...outside.notes, element("pre", {}, lines.join("\n"))];
  const words = [sweep, task, run.model];
  if (words.every(word => /^[A-Za-z0-9][\w.-]*$/.test(word))) {
    parts.push(element("p", { class: "faint" }, "or, as a part of the sweep configs/sweep/" + sweep + ".yaml, with its checkpoints and logs:"),
      element("pre", {}, `source .venv/bin/activate\nbench sweep ${sweep} --results elsewhere --only 'task=${task} model=${run.model} seed=${run.seed}'${outside.plugins}`));
  }
  return parts;
}

// Options by the names that `bench train` gives them: a class' own have that of the class before them.
function flattened(value, name = "") {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return [[name, value]];
  return Object.entries(value).flatMap(([key, part]) => {
    const own = key === "class_path" || key === "init_args" ? name : name ? `${name}.${key}` : key;
    return flattened(part, own);
  });
}

function list(title, value) {
  const pairs = flattened(value).flatMap(([name, part]) =>
    [element("dt", {}, breakable(name)), element("dd", {}, typeof part === "string" ? part : JSON.stringify(part))]);
  return element("div", {}, element("h4", {}, title), element("dl", {}, ...pairs));
}

function estimates(run) {
  const names = [...new Set([...Object.keys(run.test), ...Object.keys(run.train)])]
    .filter(name => run.test[name] != null || run.train[name] != null);
  const cell = value => element("td", {}, value == null ? "–" : String(value));
  const rows = names.map(name => element("tr", {}, element("th", { scope: "row", class: "name" }, breakable(name)),
    cell(run.test[name]), cell(run.train[name])));
  const head = ["", "test", "train"].map(text => element("th", { scope: "col" }, text));
  return element("div", { class: "scroll", tabindex: 0 }, element("h4", {}, "Estimates, every digit"),
    element("table", { class: "estimates" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)));
}

function runDetail(task, sweep, runs, run) {
  const environment = JSON.parse(runs.environments[runs.environment[run.position]]);
  const configuration = JSON.parse(configurationText(runs, run));
  return element("div", {},
    element("p", {}, element("a", { href: `#run-${run.key}` }, `link to run ${run.key}`),
      run.reason ? element("strong", {}, ` failed: ${run.reason}`) : null),
    ...commands(task, sweep, runs, run, environment, configuration),
    element("div", { class: "columns" }, run.status === "ok" ? estimates(run) : null,
      list("Configuration", configuration), list("Environment", environment), list("Time", run.timing)));
}
