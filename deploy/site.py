"""What `make site` does beyond MkDocs: links to code become plain text, and no page asks another server."""

from __future__ import annotations

import re
from os.path import normpath
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

_PROJECT = Path(__file__).parents[1]
_CODE = re.compile(r"(?<=<td>).*?(?=</td>)", re.DOTALL)
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:]+)\)")
_FETCHED = re.compile(r"""<(?:script|img|iframe|source|link)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//""")


def on_page_markdown(markdown: str, *, page: Any, files: Any, **_: Any) -> str:
    """The site holds the pages alone; on a forge the same links lead to the code."""
    folder = Path(page.file.src_uri).parent

    def shown(link: re.Match[str]) -> str:
        target = normpath(folder / link[2])
        is_code = files.get_file_from_path(target) is None and (_PROJECT / target).exists()
        return link[1] if is_code else link[0]

    return _LINK.sub(shown, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Long names in tables may be broken where a word ends: a telephone is narrow."""

    def breakable(cell: re.Match[str]) -> str:
        return re.sub(r"(?<=<code>)[^<]+", lambda name: re.sub(r"([_/=@])(?=\w)", r"\1<wbr>", name[0]), cell[0])

    return _CODE.sub(breakable, html)


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Raises PluginError where a page has a browser ask another server."""
    if found := _FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri} asks another server: {found[0]}")
    return output
