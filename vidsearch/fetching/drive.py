"""Google Drive: the files of a public folder, and the page that stands between a large file and whoever wants it.

Why not gdown: its hosts are fixed, so that nothing of it could be tried where this was written; it needs two more
packages; and it would be a second way of moving bytes, with other limits. The two pages are read as gdown 6 reads them
(github.com/wkentaro/gdown, `download.py`, `download_folder.py`).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from vidsearch.errors import ModelError
from vidsearch.fetching import web
from vidsearch.fetching.remote import RemoteFile
from vidsearch.fetching.transfer import whole_size

HOST_VARIABLE = "VIDSEARCH_DRIVE_URL"
_DEFAULT_HOST = "https://drive.google.com"
_PAGE_LIMIT_BYTES = 4_000_000
_DEPTH = 3  # folders in folders that are looked into
_ENTRY = re.compile(
    r"https://drive\.google\.com/(?:file/d/(?P<file>[-\w]{25,})/view|drive/.*folders/(?P<folder>[-\w]{25,}))"
)


def host() -> str:
    """Drive's address, or that of what stands in for it, without a slash at its end."""
    return (os.environ.get(HOST_VARIABLE) or _DEFAULT_HOST).rstrip("/")


def describe(folder_id: str, name: str, file_id: str | None, timeout_s: float) -> RemoteFile:
    """The file `name` of a folder; by its reported id if the folder cannot be listed or does not have it."""
    source = f"Google Drive folder {folder_id}"
    try:
        found = _find(folder_id, name, timeout_s, _DEPTH)
    except web.HostTroubleError:
        raise
    except ModelError:
        if file_id is None:
            raise
        found = None
    if (found := found or file_id) is None:
        raise ModelError(f"{source} has no {name}; it may have moved: update vidsearch {web.BY_HAND}")
    return _behind_the_page(found, name, source, timeout_s)


def _find(folder_id: str, name: str, timeout_s: float, depth: int) -> str | None:
    """The id of the file `name` in a folder or in the folders in it."""
    page = _Page()
    page.feed(
        web.text(
            f"{host()}/embeddedfolderview?{urlencode({'id': folder_id})}", {}, timeout_s, limit_bytes=_PAGE_LIMIT_BYTES
        )
    )
    for link in page.links:
        if link.kind == "file" and link.text.strip() == name:
            return link.id
    inside = (_find(link.id, name, timeout_s, depth - 1) for link in page.links if link.kind == "folder" and depth > 1)
    return next((found for found in inside if found is not None), None)


def _behind_the_page(file_id: str, name: str, source: str, timeout_s: float) -> RemoteFile:
    """Ask for the file and read no byte of it: its headers are enough, or there is a page whose form leads to them."""
    url = f"{host()}/uc?{urlencode({'id': file_id, 'export': 'download'})}"
    for _ in range(2):
        with web.opened(url, {}, timeout_s) as response:
            if response.headers.get_content_type() != "text/html":
                return RemoteFile(
                    name=name,
                    url=url,
                    source=source,
                    size_bytes=whole_size(response.headers),
                    etag=response.headers.get("ETag"),
                    sha256=None,
                )
            with web.translated(url):
                page = _Page()
                page.feed(response.read(_PAGE_LIMIT_BYTES).decode("utf-8", "replace"))
        url = _confirmed(page, name, file_id)
    raise ModelError(f"Google Drive asks for more than a confirmation before it gives {name}; {_in_a_browser(file_id)}")


def _confirmed(page: _Page, name: str, file_id: str) -> str:
    """The address that the page's form leads to."""
    if page.form_action is None:
        why = f" ({' '.join(page.error_text.split())})" if page.error_text.strip() else ""
        raise ModelError(f"Google Drive does not give {name}{why}; {_in_a_browser(file_id)}")
    parts = urlsplit(page.form_action)
    if parts.scheme != "https" and not page.form_action.startswith(f"{host()}/"):
        raise ModelError(f"Google Drive sends on to an address without encryption for {name}; {_in_a_browser(file_id)}")
    query = dict(parse_qsl(parts.query)) | page.form_values
    return parts._replace(query=urlencode(query)).geturl()


def _in_a_browser(file_id: str) -> str:
    return (
        f"open {host()}/file/d/{file_id}/view in a browser and save the file, then vidsearch models add NAME --from it"
    )


@dataclass(slots=True)
class _Link:
    kind: Literal["file", "folder"]
    id: str
    text: str = ""


@dataclass(slots=True)
class _Reading:
    """Where the parser is."""

    link: bool = False
    form: bool = False
    error: bool = False


class _Page(HTMLParser):
    """The links to files and folders, the form `download-form`, and the text of an error, of one of Drive's pages."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[_Link] = []
        self.form_action: str | None = None
        self.form_values: dict[str, str] = {}
        self.error_text = ""
        self._in = _Reading()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and (found := _ENTRY.match(given.get("href", ""))):
            self.links.append(_Link("file", found["file"]) if found["file"] else _Link("folder", found["folder"]))
            self._in.link = True
        elif tag == "form" and given.get("id") == "download-form":
            self.form_action = given.get("action")
            self._in.form = True
        elif tag == "input" and self._in.form and given.get("type") == "hidden":
            self.form_values[given.get("name", "")] = given.get("value", "")
        elif given.get("class") == "uc-error-subcaption":
            self._in.error = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._in.link = False
        elif tag == "form":
            self._in.form = False
        elif tag == "p":
            self._in.error = False

    def handle_data(self, data: str) -> None:
        if self._in.link:
            self.links[-1].text += data
        if self._in.error:
            self.error_text += data
