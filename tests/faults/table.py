"""The table of faults: what is planted where, and which tests must notice."""

from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
TABLES = sorted(Path(__file__).parent.glob("*.yaml"))


@dataclass(frozen=True)
class Fault:
    """A mistake of the kind that experts make.

    Attributes:
        name: Its name, which ``ONLY`` selects by.
        file: The file, from the repository's root.
        text: What stands there exactly once.
        fault: What is planted in its place.
        wrong: What is wrong with it, in a few words.
        tests: The tests that must notice: files, or pytest's node ids.
        survives: Why no test can notice it, if that is so.
    """

    name: str
    file: str
    text: str
    fault: str
    wrong: str
    tests: tuple[str, ...]
    survives: str | None = None

    @property
    def module(self) -> str:
        """The name by which the file is imported."""
        return self.file.removesuffix(".py").replace("/", ".")

    def problem(self, folder: Path) -> str | None:
        """Return why the fault cannot be planted in a copy of the repository; None if it can."""
        source = (folder / self.file).read_text(encoding="utf-8")
        count = source.count(self.text)
        if count != 1:
            return f"the text stands {count} times in {self.file}"
        if self.text == self.fault:
            return "the fault is the text itself"
        try:
            compile(self.planted(source), self.file, "exec")
        except SyntaxError as error:
            return f"{self.file} with the fault does not compile: {error}"
        return None

    def planted(self, source: str) -> str:
        """Return the file's content with the fault."""
        return source.replace(self.text, self.fault)


def read_faults() -> list[Fault]:
    """Return all faults, table by table."""
    entries = [
        entry for path in TABLES for entry in yaml.safe_load(path.read_text(encoding="utf-8"))
    ]
    return [Fault(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]
