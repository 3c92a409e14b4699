"""ro-crate-metadata.json: the tables of a sweep and how they were made, as an RO-Crate 1.1.

Runs are described as the profile Process Run Crate 0.5 has it: an action for the runs of each commit,
with its software as the instrument, its data as objects and the tables as results.
"""

import json
import re
from collections.abc import Sequence

import pandas as pd

from bench.records.types import Environment
from bench.report.citation import text_or_none
from bench.report.costs import processor_of
from bench.report.croissant import LICENSE
from bench.report.package import SCHEMA_VERSION
from bench.report.published_tables import CONTENTS, PublishedTables
from bench.version import __version__

Entity = dict[str, object]
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
# The context of RO-Crate 1.1 has no word for a hash.
CONTEXT = ["https://w3id.org/ro/crate/1.1/context", {"sha256": "https://schema.org/sha256"}]
MEDIA = {"csv": "text/csv", "tex": "text/x-tex", "json": "application/json"}
MOST_KEYS = 100


def crate(tables: PublishedTables) -> str | None:
    """Return ro-crate-metadata.json; None where no date is known, without which there is no crate.

    Who ran it is in no record, so that no action has an agent.
    """
    if tables.date is None:
        return None
    files = [file_entity(tables, name) for name in tables.files]
    actions, others = provenance(tables)
    root: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "conformsTo": {"@id": PROFILE},
        "name": tables.title,
        "description": tables.description,
        "datePublished": tables.date,
        "license": {"@id": LICENSE},
        "version": SCHEMA_VERSION,
        "hasPart": links(files),
        # The profile wants programs alone as instruments, so the processors stand here.
        "mentions": links([*actions, *(e for e in others if e["@type"] == "IndividualProduct")]),
    }
    graph = [*head(), root, *files, *actions, *others]
    content = {"@context": CONTEXT, "@graph": graph}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def head() -> list[Entity]:
    """Return what every crate has: the descriptor, the profile and the licence."""
    return [
        {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        },
        {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
        {
            "@id": LICENSE,
            "@type": "CreativeWork",
            "name": "MIT License",
            "identifier": LICENSE,
            "description": "Permission to use, copy, modify and distribute, with this notice",
        },
    ]


def file_entity(tables: PublishedTables, name: str) -> Entity:
    return {
        "@id": name,
        "@type": "File",
        "name": name,
        "description": CONTENTS[name],
        "encodingFormat": MEDIA[name.rpartition(".")[2]],
        "contentSize": str(tables.size(name)),
        "sha256": tables.sha256(name),
    }


def provenance(tables: PublishedTables) -> tuple[list[Entity], list[Entity]]:
    """Return the actions that made the files, and their instruments and objects, each once."""
    actions: list[Entity] = []
    others: dict[object, Entity] = {}
    timed = tables.timings.drop_duplicates("key").set_index("key")
    for commit, rows in tables.runs.groupby("commit", sort=False, dropna=False):
        known = None if pd.isna(commit) else str(commit)
        own = [e for e in tables.environments if e.get("commit") == known]
        is_dirty = bool(rows["dirty"].eq(True).any())
        packages, processors = packages_of(own), processors_of(own)
        software = software_of(known, is_dirty, own, packages)
        data = [data_entity(row) for _, row in rows.drop_duplicates("data_sha256").iterrows()]
        others |= {entity["@id"]: entity for entity in (software, *processors, *packages, *data)}
        on = ", ".join(str(processor["name"]) for processor in processors)
        keys = list(rows["key"].drop_duplicates())
        shown = ", ".join(keys[:MOST_KEYS]) + (", …" if len(keys) > MOST_KEYS else "")
        actions.append({
            "@id": f"#runs-{known or 'of-unknown-code'}",
            "@type": "CreateAction",
            "name": f"{len(keys)} runs: training and evaluation at "
            + (f"commit {known}" if known else "an unknown commit"),
            "description": f"Runs {shown}" + (f"; on {on}" if on else ""),
            "instrument": {"@id": software["@id"]},
            "object": links(data),
            "result": [{"@id": "runs.csv"}, {"@id": "timings.csv"}],
            **times_of(timed.reindex(keys)),
        })  # fmt: skip
    report: Entity = {
        "@id": f"#likelihood-bench-{__version__}",
        "@type": "SoftwareApplication",
        "name": "likelihood-bench",
        "softwareVersion": __version__,
    }
    made: Entity = {
        "@id": "#report",
        "@type": "CreateAction",
        "name": "bench report",
        "description": "The leaderboard and the descriptions, from the runs alone",
        "instrument": {"@id": report["@id"]},
        "object": {"@id": "runs.csv"},
        "result": [{"@id": n} for n in tables.files if n not in ("runs.csv", "timings.csv")],
    }
    return [*actions, made], [*others.values(), report]


def software_of(
    commit: str | None,
    is_dirty: bool,
    environments: Sequence[Environment],
    packages: Sequence[Entity],
) -> Entity:
    """Return the code of a commit, with the packages that it ran with."""
    hashes = sorted({text for e in environments if (text := text_or_none(e.get("code_sha256")))})
    versions = sorted({text for e in environments if (text := text_or_none(e.get("version")))})
    words = f"The code at commit {commit}" if commit else "Code of an unknown commit"
    words += ", which it differed from: nobody else has it" if is_dirty else ""
    words += f"; SHA-256 of what decides numbers: {', '.join(hashes)}" if hashes else ""
    entity: Entity = {
        "@id": f"#likelihood-bench-{commit or 'unknown'}",
        "@type": "SoftwareApplication",
        "name": "likelihood-bench",
        "description": words,
        "identifier": commit or "unknown",
    }
    if versions:
        entity["softwareVersion"] = ", ".join(versions)
    if packages:
        entity["softwareRequirements"] = links(packages)
    return entity


def packages_of(environments: Sequence[Environment]) -> list[Entity]:
    """Return the distinct versions of Python and of libraries that runs were made with."""
    found: dict[str, Entity] = {}
    for environment in environments:
        # Reading a record checks the type of neither.
        packages: object = environment.get("packages")
        versions = {"Python": environment.get("python")}
        versions |= packages if isinstance(packages, dict) else {}
        for name, version in versions.items():
            if text_or_none(version):
                own = identifier(f"{name}-{version}")
                kind = {"@id": own, "@type": "SoftwareApplication"}
                found[own] = kind | {"name": name, "softwareVersion": version}
    return list(found.values())


def processors_of(environments: Sequence[Environment]) -> list[Entity]:
    """Return the distinct processors that runs computed on."""
    names = dict.fromkeys(map(processor_of, environments))
    return [
        {"@id": identifier(name), "@type": "IndividualProduct", "name": name}
        for name in names
        if name
    ]


def data_entity(row: pd.Series) -> Entity:
    """Return the data that a run was made with."""
    return {
        "@id": f"#data-{row['data_sha256']}",
        "@type": "CreativeWork",
        "name": str(row["task"]),
        "description": f"Images of {row['dimensions']} dimensions with {row['levels']} levels: data set, "
        "binarization and splits of this task",
        "identifier": f"sha256:{row['data_sha256']}",
    }


def times_of(timings: pd.DataFrame) -> Entity:
    """Return when an action started and ended, if the times of all of its runs are known."""
    if "ended" not in timings or timings[["started", "ended"]].isna().any(axis=None):
        return {}
    return {"startTime": timings["started"].min(), "endTime": timings["ended"].max()}


def identifier(name: str) -> str:
    """Return the identifier of an entity inside the crate: no other character needs escapes in one."""
    return "#" + re.sub(r"[^A-Za-z0-9._~+-]+", "-", name)


def links(entities: Sequence[Entity]) -> object:
    """Return references to entities; RO-Crate wants no list around a single one."""
    found = [{"@id": entity["@id"]} for entity in entities]
    return found[0] if len(found) == 1 else found
