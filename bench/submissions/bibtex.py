"""BibTeX entries of other people: whether BibTeX could read them."""

import re

from bench.errors import InputError

NEEDED = ("author", "title", "year")
ENTRY = re.compile(r"@(\w+)\s*\{\s*([^\s,{}\"#%'()=]+)\s*,", re.ASCII)
FIELD = re.compile(r"\s*([A-Za-z][\w-]*)\s*=\s*", re.ASCII)
BARE = re.compile(r"[A-Za-z][\w-]*|\d+", re.ASCII)


def check_bibtex(text: str) -> str:
    """Return the citation key of the first entry of a text.

    Raises:
        InputError: There is no entry, one cannot be read, or the first lacks author, title or year.

    Examples:
        >>> check_bibtex("@misc{me2026, author = {Me}, title = {A {VAE}}, year = 2026}")
        'me2026'
    """
    position, first = 0, ""
    while (start := text.find("@", position)) >= 0:
        found = ENTRY.match(text, start)
        if found is None:
            raise wrong(text, start, "an entry begins as @misc{key,")
        fields, position = fields_from(text, found.end())
        if not first:
            first = found[2]
            for name in NEEDED:
                if not fields.get(name, "").strip():
                    raise InputError(f"bibtex: the entry {first} has no {name}")
    if not first:
        raise InputError("bibtex: there is no entry; one begins as @misc{key,")
    return first


def fields_from(text: str, position: int) -> tuple[dict[str, str], int]:
    """Return {field: text} of an entry after its key, and the position behind its end."""
    fields: dict[str, str] = {}
    while True:
        if end := re.compile(r"\s*,?\s*\}").match(text, position):
            return fields, end.end()
        if fields:
            comma = re.compile(r"\s*,").match(text, position)
            if comma is None:
                raise wrong(text, position, "a comma or a brace is missing")
            position = comma.end()
        found = FIELD.match(text, position)
        if found is None:
            raise wrong(text, position, "a field is written as name = {text}")
        value, position = value_from(text, found.end())
        fields[found[1].lower()] = value


def value_from(text: str, position: int) -> tuple[str, int]:
    """Return a field's text, of parts joined by #, and the position behind it."""
    value = ""
    while True:
        if text[position : position + 1] in ("{", '"'):
            end = end_of_text(text, position)
            value += text[position + 1 : end]
            position = end + 1
        elif bare := BARE.match(text, position):
            value, position = value + bare[0], bare.end()
        else:
            raise wrong(text, position, "a field's text is in braces or quotes")
        joined = re.compile(r"\s*#\s*").match(text, position)
        if joined is None:
            return value, position
        position = joined.end()


def end_of_text(text: str, start: int) -> int:
    """Return the position of the brace or quote that ends a text. Braces inside are balanced."""
    depth, quoted = 0, text[start] == '"'
    for position in range(start + quoted, len(text)):
        letter = text[position]
        if quoted and letter == '"' and depth == 0:
            return position
        depth += (letter == "{") - (letter == "}")
        if depth < 0 or (depth == 0 and letter == "}" and not quoted):
            break
    else:
        raise wrong(text, start, "a brace or a quote is not closed")
    if depth < 0:
        raise wrong(text, position, "a brace is closed that was not opened")
    return position


def wrong(text: str, position: int, reason: str) -> InputError:
    return InputError(f"bibtex: line {text.count(chr(10), 0, position) + 1}: {reason}")
