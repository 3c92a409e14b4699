"""How the environments of a published run and of one that was done again differ."""

from bench.records.types import Environment, TableRecord

# Parts of an environment that decide no number: labels of the code, whose hash is compared.
LABELS = ("commit", "commit_unknown", "dirty", "version")


def is_same(published: Environment, record: TableRecord) -> bool:
    """Tell whether a published environment agrees with a new record's in all that decides numbers."""
    old, new = flat(published), flat(record["environment"])
    return all(old.get(name) == new[name] for name in new if name not in LABELS)


def differences(published: Environment, record: TableRecord) -> list[str]:
    """Return in words how a published environment differs from a new record's."""
    old, new = flat(published), flat(record["environment"])
    # What an older record does not hold is not known to differ.
    return [
        f"{name}: {old[name]} → {new[name]}"
        for name in new
        if old.get(name, new[name]) != new[name]
    ]


def flat(environment: Environment) -> dict[str, object]:
    """Return an environment with package versions on the top level and short hashes of the code."""
    plain = {name: value for name, value in environment.items() if name != "packages"}
    for name in ("commit", "code_sha256"):
        if plain.get(name):
            plain[name] = str(plain[name])[:12]
    # A run that trained alone does not say so. Stacked runs are rounded otherwise.
    plain.setdefault("stacked", 1)
    packages = environment.get("packages")
    return plain | (packages if isinstance(packages, dict) else {})
