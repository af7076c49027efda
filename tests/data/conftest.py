"""Small stand-ins for data sets: archives, and a small rendering of Patterns."""

import contextlib
import functools
import hashlib
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mmbench.data import load_dataset
from mmbench.data.patterns.prepare import PatternsConfig, prepare

SMALL = PatternsConfig(train=40, val=20, test=20, scenes_train=8, scenes_val=3, scenes_test=4)


@pytest.fixture(scope="session")
def small_patterns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the small rendering: the first images and scenes of the real one. Tests change a copy."""
    root = tmp_path_factory.mktemp("data") / "patterns"
    prepare(root, SMALL)
    return root


@pytest.fixture(autouse=True)
def fresh_data_sets() -> Iterator[None]:
    load_dataset.cache_clear()
    yield
    load_dataset.cache_clear()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[str, str]]]:
    """Pack a folder's content as an archive of that name and serve it here; return its address and MD5."""
    home = tmp_path / "served"
    home.mkdir()
    with contextlib.ExitStack() as stack:
        handler = functools.partial(SimpleHTTPRequestHandler, directory=str(home))
        server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.shutdown)

        def pack(folder: Path, name: str) -> tuple[str, str]:
            archive = home / name
            if archive.suffix == ".zip":
                with zipfile.ZipFile(archive, "w") as stream:
                    for path in sorted(folder.rglob("*")):
                        stream.write(path, path.relative_to(folder))
            else:
                with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as stream:
                    for path in sorted(folder.iterdir()):
                        stream.add(path, path.name)
            digest = hashlib.md5(archive.read_bytes()).hexdigest()
            return f"http://127.0.0.1:{server.server_port}/{name}", digest

        yield pack


@pytest.fixture
def interrupting() -> Callable[..., Callable[..., object]]:
    """Return a function of a function and a number: the function, interrupted after so many calls."""

    def wrapped(original: Callable[..., object], after: int) -> Callable[..., object]:
        calls = iter(range(after))

        def function(*arguments: object, **options: object) -> object:
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return original(*arguments, **options)

        return function

    return wrapped
