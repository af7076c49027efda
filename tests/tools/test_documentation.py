"""The generated pages of the documentation agree with the protocol files and the command line."""

from __future__ import annotations

import json
import re
from importlib import resources

import pytest
import yaml

from mmbench.cli.commands import COMMANDS
from mmbench.pretrain.recipes.recipe import recipes
from mmbench.tools import documentation
from mmbench.transfer.tasks.knn.settings import KnnSettings

FILES = {
    entry.name: yaml.safe_load(entry.read_text(encoding="utf-8"))
    for entry in resources.files("mmbench.transfer.protocols").iterdir()
    if entry.name.endswith(".yaml")
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_page_states_everything_in_a_protocol_file(name: str) -> None:
    stored = FILES[name]
    page = documentation.protocol_pages()[f"protocols/{stored['task']}.md"]
    section = page.partition(f"## {stored['id'].partition('@')[0]} ")[2].partition("\n## ")[0]
    settings = dict(stored["settings"])
    for revision in stored.get("revisions", ()):
        assert f"`{stored['id'].partition('@')[0]}@{revision['version']}`" in section
        assert " ".join(revision["change"].split()) in section
        settings |= revision.get("settings", {})
    newest = {**stored, **(stored.get("revisions") or [{}])[-1]}
    for field in ("source", "differs", "selection"):
        assert " ".join(newest[field].split()).replace("|", "\\|") in section
    for setting, value in settings.items():
        row = next(line for line in section.splitlines() if line.startswith(f"| `{setting}` |"))
        shown = row.split(" | ")[1].strip("`")
        assert yaml.safe_load(shown.replace("–", "null")) == value or json.loads(shown) == value  # "1e-05"


def test_every_command_has_a_page_and_a_line_in_the_index() -> None:
    pages = documentation.command_pages()
    assert {f"cli/{name}.md" for name in COMMANDS} <= set(pages)
    for name, (_, line) in COMMANDS.items():
        assert f"| [`mmbench {name}`]({name}.md) | {line} |" in pages["cli/index.md"]


def test_the_meaning_of_a_setting_comes_from_the_docstring() -> None:
    meanings = documentation.setting_meanings(KnnSettings)
    assert set(KnnSettings.model_fields) <= set(meanings)
    assert "vote" in meanings["neighbours"]


def test_the_recipes_page_has_every_pair() -> None:
    page = documentation.recipe_page()
    assert all(f"`{recipe.id}`" in page for recipe in recipes().values())


def test_every_included_example_exists() -> None:
    included = [
        name
        for page in (documentation.ROOT / "docs").rglob("*.md")
        for name in re.findall(r'^--8<-- "(.+)"$', page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert len(included) >= 9  # fewer where a formatter broke the markers
    assert all((documentation.ROOT / "docs" / "examples" / name).is_file() for name in included)
