"""The page of a source by a signed link: whoever has it sees the page and plays its media, until it runs out.

Belongs here: the addresses of what a page refers to, the page that holds them. Does not belong here: exchanging names
in its text (processing/pages/shared), or signing (store/bucket).
"""

from __future__ import annotations

from functools import cache

from processing.manifest import Manifest
from processing.pages.dossier_plan import PAGE
from processing.pages.shared import with_addresses
from resources.store.links import linked_files
from resources.store.store import Store

KINDS = {".css": "text/css", ".js": "text/javascript"}  # which browsers take as nothing else
HTML = "text/html; charset=utf-8"


def signed_page(store: Store, page: Manifest, *, for_s: int) -> str:
    """The address of a page, good for so many seconds, as those of all it shows are.

    Raises `CannotSign` where the store gives no signed addresses, `ContractBroken` where what it shows is gone.
    """
    item = store.as_input(page, page.asset)
    files = {entry.path: (page, entry) for entry in page.files if entry.path != PAGE}
    files |= {name: (made, entry) for name, made, entry in linked_files(store, page)}

    @cache
    def address(name: str) -> str:
        made, entry = files[name]
        suffix = next((each for each in KINDS if name.endswith(each)), None)
        if made is page and suffix is not None:
            return store.share(f"{page.recipe_hash}/{name}", item.path(name).read_bytes(), KINDS[suffix], for_s=for_s)
        return store.sign(made, entry.path, for_s=for_s)

    text = with_addresses(item.path(PAGE).read_text(encoding="utf-8"), files, address)
    return store.share(f"{page.recipe_hash}/{for_s}.html", text.encode(), HTML, for_s=for_s)
