"""Lists of names separated by commas, some of which have commas themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mmbench.errors import UserError


def separated(texts: Iterable[str], known: Callable[[str], bool]) -> list[str]:
    """Return the names in texts of one or several names each.

    A comma separates two names, unless the longest text around it is a known name. What is not known is
    separated at every comma.

    Args:
        texts: such as "moco, lr 0.1,random".
        known: whether a text is a name.

    Raises:
        UserError: there is nothing between two commas.

    >>> separated(["moco, lr 0.1,random"], {"moco, lr 0.1", "moco", "random"}.__contains__)
    ['moco, lr 0.1', 'random']
    """
    names = []
    for text in texts:
        pieces = text.split(",")
        start = 0
        while start < len(pieces):
            for end in range(len(pieces), start, -1):
                name = ",".join(pieces[start:end]).strip()
                if known(name) or end == start + 1:
                    break
            if not name:
                raise UserError("there is an empty value between the commas")
            names.append(name)
            start = end
    return names
