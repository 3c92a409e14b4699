"""What MkDocs does not do by itself: the notebook as a page, results within the site."""

import base64
import json
import re
from pathlib import Path

from mkdocs.structure.files import File

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# A file of results that a page or the menu names is at the same place under the site.
OF_RESULTS = re.compile(r"(?:\]\(\.\./|: )(results/[^)#\s]+)")


def on_files(files, config):
    for name in ("extra.css", "iframe-worker.js", "stix-two-math.woff2"):
        files.append(generated(config, f"assets/{name}", (HERE / name).read_bytes()))
    texts = [Path(file.abs_src_path).read_text("utf-8") for file in files.documentation_pages()]
    texts.append(Path(config.config_file_path).read_text("utf-8"))
    for name in sorted({name for text in texts for name in OF_RESULTS.findall(text)}):
        files.append(generated(config, name, of_results(name)))
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        files.remove(file)
        page = file.src_uri.removesuffix(".ipynb") + ".md"
        files.append(generated(config, page, notebook_page(Path(file.abs_src_path))))
    return files


def of_results(name: str) -> bytes:
    """Return a file of results; a page gets a link to the site's first page."""
    content = (ROOT / name).read_bytes()
    link = f'<p><a href="{"../" * name.count("/")}index.html">← Likelihood Bench</a></p>'
    return content.replace(b"<body>", f"<body>\n{link}".encode(), 1)


def on_nav(nav, config, files):
    """Lead from each page to the next past those of results, which lead no further."""
    pages = [page for page in nav.pages if page.file.is_documentation_page()]
    for page, following in zip(pages, pages[1:]):
        page.next_page, following.previous_page = following, page


def generated(config, name: str, content) -> File:
    return File.generated(config, name, content=content)


def notebook_page(path: Path) -> str:
    """Return a notebook as Markdown: its text, its code and the outputs that are stored in it."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts += [shown(output) for output in cell["outputs"]]
    return "\n\n".join(parts)


def shown(output: dict) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        image = "".join(data["image/png"].split())
        base64.b64decode(image, validate=True)
        return f'<img alt="Output of the cell above" src="data:image/png;base64,{image}">'
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f"```text\n{text.rstrip()}\n```"


def on_page_markdown(markdown, page, config, files):
    """Make links that are right in the repository right in the site."""
    if page.file.src_uri == "results/README.md":
        page.meta["hide"] = ["toc"]  # the tables of columns need the room
        markdown = markdown.replace("/<sweep>.yaml", "/&lt;sweep>.yaml")  # which is no tag
    markdown = markdown.replace("](../results/", "](results/")
    return re.sub(r"(\]\([\w-]+)\.ipynb", r"\1.md", markdown)
