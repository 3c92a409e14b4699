"""croissant.json: the tables of a sweep in the vocabulary of MLCommons Croissant 1.0 (JSON-LD)."""

import json

from bench.records.run_columns import Column
from bench.report.bibtex import tables_entry
from bench.report.package import KEYS, SCHEMA_VERSION
from bench.report.published_tables import CONTENTS, PublishedTables, described

# The context of the specification: the words of the vocabulary and what they stand for.
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
LICENSE = "https://spdx.org/licenses/MIT"
TYPES = {
    "string": "sc:Text",
    "integer": "sc:Integer",
    "number": "sc:Float",
    "boolean": "sc:Boolean",
    "datetime": "sc:DateTime",
}


def croissant(tables: PublishedTables) -> str:
    """Return croissant.json.

    It has no ``url`` and no ``creator``, which are not known here, and no ``datePublished`` where no
    date is.
    """
    dated = {} if tables.date is None else {"datePublished": tables.date}
    content = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": tables.name,
        "alternateName": tables.title,
        "description": tables.description,
        "license": LICENSE,
        "version": SCHEMA_VERSION,
        **dated,
        "citeAs": tables_entry(tables),
        "distribution": [file_object(tables, f"{name}.csv") for name in tables.columns],
        "recordSet": [record_set(name, columns) for name, columns in tables.columns.items()],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def file_object(tables: PublishedTables, name: str) -> dict[str, str]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "description": CONTENTS[name],
        "contentUrl": name,
        "contentSize": f"{tables.size(name)} B",
        "encodingFormat": "text/csv",
        "sha256": tables.sha256(name),
    }


def record_set(name: str, columns: list[Column]) -> dict[str, object]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": CONTENTS[f"{name}.csv"],
        "key": [{"@id": f"{name}/{column}"} for column in KEYS[name]],
        "field": [field(name, column) for column in columns],
    }


def field(table: str, column: Column) -> dict[str, object]:
    return {
        "@type": "cr:Field",
        "@id": f"{table}/{column.name}",
        "name": column.name,
        "description": described(column),
        "dataType": TYPES[column.type],
        "source": {
            "fileObject": {"@id": f"{table}.csv"},
            "extract": {"column": column.name},
        },
    }
