"""CITATION.cff is valid, and says what is so."""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

from bench.version import __version__

ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "tests" / "citation-file-format-1.2.0.json").read_text())
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_it_follows_the_schema_of_its_format():
    jsonschema.Draft7Validator(SCHEMA).validate(CITATION)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(SCHEMA).validate(CITATION | {"licence": "MIT"})


def test_version_licence_and_title_are_the_packages():
    assert CITATION["version"] == __version__ and CITATION["license"] == PROJECT["license"]
    assert CITATION["title"].endswith(PROJECT["description"].partition(":")[0].lower()[2:])
    assert CITATION["abstract"] and CITATION["keywords"]


def test_it_names_no_address_that_the_package_does_not():
    """Nobody should look for the code where it is not."""
    addresses = set(PROJECT.get("urls", {}).values())
    assert {CITATION[name] for name in CITATION if name in ("url", "repository-code")} <= addresses
