"""The script of the page: DataTables with its extensions, as the package itables ships it, and our own."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib import resources

# Before anything is drawn, so that what needs no script is not shown for a moment where there is one.
EARLY_SCRIPT = "document.documentElement.classList.add('js');"


@cache
def page_script() -> str:
    """Return the module that makes the static table sortable, searchable and filterable.

    The bundle is an ES module that ends in a list of exports; ours follows it and uses their local names.

    Raises:
        RuntimeError: the bundle of the installed itables does not export what the page uses.
    """
    bundle = resources.files("itables").joinpath("html/dt_bundle.js").read_text(encoding="utf-8")
    exports = re.search(r"export\s*\{([^}]*)\}", bundle)
    names = dict(re.findall(r"([\w$]+) as ([\w$]+)", exports.group(1)) if exports else ())
    local = next((name for name, exported in names.items() if exported == "default"), None)
    if exports is None or local is None:
        raise RuntimeError("the bundle of itables does not export DataTables; install another version of it")
    bundle = bundle.replace(exports.group(0), "", 1)
    own = resources.files("mmbench.leaderboard.render").joinpath("page.js").read_text(encoding="utf-8")
    return _inside_a_script(f"{bundle}\nconst DataTable = {local};\n{own}")


def source_hash(script: str) -> str:
    """Return what a content security policy allows this inline script by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _inside_a_script(source: str) -> str:
    """Return JavaScript that HTML does not end early: both are the same in strings and in patterns."""
    return source.replace("</script", r"<\/script").replace("<!--", r"<\!--")
