"""The page in Chromium: sorting, filters, another baseline, drawers, state, print, phone, accessibility."""

import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from mmbench.formatting import difference
from mmbench.leaderboard.board import Board, Column
from mmbench.leaderboard.build import build, read_board
from mmbench.leaderboard.cells import MOST_COMPARED
from mmbench.leaderboard.render import page as page_module
from mmbench.leaderboard.render.page import render_page
from mmbench.leaderboard.render.wording import delta_class, delta_words, score
from mmbench.records.store import Result, ResultStore
from mmbench.tools.reproduce import reproduce

pytestmark = pytest.mark.browser

HOSTILE = "a</script><img src=x onerror='document.title=1'> \"&amp; ' \u2028 {{7*7}} %23=&row=b"
# Every element of a table, with its right edge, that a page of this width would cut off.
CUT_OFF = """() => [...document.querySelectorAll("table *, figure, dd, p, li")].filter((part) =>
  part.getClientRects().length && part.getBoundingClientRect().right > innerWidth + 1)
  .map((part) => part.outerHTML)"""
SHOWN = """rows => rows.map(row => [...row.cells].filter(cell => cell.checkVisibility()).length)"""
LAST_LABEL = """() => { const cells = document.querySelector("#scores tbody tr").cells;
  const shown = [...cells].filter((cell) => !cell.hidden);
  return getComputedStyle(shown[shown.length - 1], "::before").content; }"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses its sandbox to root
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def built(board_records: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Board, Path]:
    """Return a board and its folder."""
    folder = tmp_path_factory.mktemp("page") / "board"
    return build(board_records, folder, "mscn"), folder


@pytest.fixture
def show(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page; at the end there were no errors and no requests but for it."""
    shown, faults, requests = [], [], []

    def open_page(file: Path, address: str = "", **options: Any) -> Page:
        page = browser.new_page(**{"viewport": {"width": 1400, "height": 900}, **options})
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: requests.append(request.url.partition("#")[0]))
        page.goto(file.as_uri() + address)
        if options.get("java_script_enabled", True):
            page.wait_for_selector(".bar:not([hidden])")
        shown.append(page)
        return page

    yield open_page
    expected = len(shown) + sum(getattr(page, "reloads", 0) for page in shown)
    for page in shown:
        page.close()
    assert faults == []
    assert len(requests) == expected and all(address.startswith("file:") for address in requests), requests


def names(page: Page) -> list[str]:
    """Return the names of the rows in the order in which they are shown."""
    words = page.locator("#scores tbody th.arm").all_text_contents()
    return [name.removesuffix("baseline").removesuffix("control") for name in words]


def by_mean(board: Board, column: Column, *, descending: bool) -> list[str]:
    """Return the ranked rows by mean, then those that are not ranked by mean; gaps come last."""

    def key(name: str) -> tuple[bool, bool, float]:
        row = next(row for row in board.rows if row.name == name)
        cell = board.cell(row, column)
        mean = 0.0 if cell is None else cell.summary.mean
        return not row.ranked, cell is None, -mean if descending else mean

    return sorted((row.name for row in board.rows), key=key)


def sort_by(page: Page, label: str) -> None:
    page.locator("#scores thead th", has_text=label).locator(".dt-column-order").click()
    page.wait_for_timeout(100)


def test_sorting_keeps_unranked_rows_below(built: tuple[Board, Path], show: Callable[..., Page]) -> None:
    board, folder = built
    page = show(folder / "index.html")
    assert names(page) == [row.name for row in board.rows]
    for column in (board.columns[0], board.columns[2]):
        for descending in (True, False):
            sort_by(page, column.label)
            assert names(page) == by_mean(board, column, descending=descending)
            sort = page.locator("#scores thead th", has_text=column.label).get_attribute("aria-sort")
            assert sort == ("descending" if descending else "ascending")
    assert names(page)[-1] == "pixels"


def test_search_and_filters_and_their_state_survive_a_reload(
    built: tuple[Board, Path], show: Callable[..., Page]
) -> None:
    board, folder = built
    page = show(folder / "index.html")
    page.locator("[name=q]").fill("m")
    assert set(names(page)) == {row.name for row in board.rows if "m" in row.name}
    page.locator("[name=task]").select_option(board.columns[0].task)
    heads = page.locator("#scores thead th").all_text_contents()
    assert sum(column.label in head for head in heads for column in board.columns) == 1
    sort_by(page, board.columns[0].label)
    page.locator("summary", has_text="rows").first.click()
    page.get_by_role("checkbox", name="moco").uncheck()
    kept, address = names(page), page.evaluate("location.hash")
    assert "moco" not in kept and "without-rows=moco" in address
    page.reload()
    page.reloads = 1  # type: ignore[attr-defined]
    page.wait_for_selector(".bar:not([hidden])")
    page.wait_for_timeout(100)
    assert names(page) == kept and page.evaluate("location.hash") == address
    assert page.locator("[name=q]").input_value() == "m"
    page.get_by_role("button", name="reset").click()
    page.wait_for_timeout(100)
    assert names(page) == [row.name for row in board.rows] and "=" not in page.evaluate("location.hash")


def test_an_address_with_unknown_names_says_so(built: tuple[Board, Path], show: Callable[..., Page]) -> None:
    page = show(built[1] / "index.html", "#rows=nobody&rows=moco&arch=vit")
    assert names(page) == ["moco"]
    warning = page.locator(".status .warning").text_content()
    assert warning is not None and "nobody" in warning and "vit" in warning


def test_another_baseline_shows_what_a_board_with_it_has(
    built: tuple[Board, Path], board_records: Path, show: Callable[..., Page]
) -> None:
    board, folder = built
    page = show(folder / "index.html")
    before = page.locator("#scores tbody td").all_inner_texts()
    colours = page.locator("#scores tbody td > span").evaluate_all("all => all.map(span => span.className)")
    other = read_board(board_records, "random", published=False)
    page.locator("[name=base]").select_option("random")
    sure = 0
    for line, row in enumerate(board.rows):
        shown = page.locator("#scores tbody tr").nth(line).locator("td > span")
        cells = [other.cell(row, column) for column in board.columns]
        deltas = [cell.delta for cell in cells if cell is not None]
        columns = [column for column, cell in zip(board.columns, cells, strict=True) if cell is not None]
        both = list(zip(deltas, columns, strict=True))
        assert shown.all_text_contents() == [delta_words(d, c) if d is not None else "" for d, c in both]
        classes = [delta_class(delta) if delta is not None else "even" for delta in deltas]
        assert shown.evaluate_all("all => all.map(span => span.className)") == classes
        sure += sum("sure" in words for words in classes)
    assert sure > 0 and "corrected over all differences to it" in (
        page.locator(".status").text_content() or ""
    )
    cell = other.cell(board.rows[0], board.columns[0])
    assert cell is not None and cell.delta is not None and cell.delta.p is not None
    place = page.locator("#scores thead th", has_text=board.columns[0].label).evaluate("e => e.cellIndex")
    page.locator("#scores tbody tr").first.locator("td, th").nth(place).click()
    words = page.get_by_role("dialog").text_content() or ""
    assert "difference to random" in words and cell.delta.method in words and f"{cell.delta.p:.2g}" in words
    page.keyboard.press("Escape")
    page.locator("[name=base]").select_option("mscn")
    assert page.locator("#scores tbody td").all_inner_texts() == before
    again = page.locator("#scores tbody td > span").evaluate_all("all => all.map(span => span.className)")
    assert again == colours


def choose(page: Page, field: str, value: str) -> None:
    """Choose from a list by the exact value; Playwright's own choice takes several blanks for one."""
    script = (
        "(list, value) => { list.value = value; list.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    page.locator(f"[name={field}]").evaluate(script, value)


def test_names_that_differ_by_blanks_alone_are_told_apart(
    record: Callable[..., Result], tmp_path: Path, show: Callable[..., Page]
) -> None:
    """HTML draws two blanks as one: on a page with all differences, and on one with plain ones."""
    one, two, other = arms = ("moco v2", "moco  v2", "x  y")
    store = ResultStore(tmp_path / "results")
    for place, arm in enumerate(arms):
        for seed in (0, 1, 2):
            card = {"arm": arm, "pretrain_data": arm, "arch": f"net{arm[4:]}"}
            card["source_sha256"] = f"{place}{seed}" * 32
            value = 70.0 - 10 * place + seed**2 / 2
            store.write(record("moco", seed=seed, value=value, card_changes=card, wall_seconds=value))
    board = build(store.root, tmp_path / "board", two, published=False)
    many = tmp_path / "many.html"
    many.write_text(render_page(board, ()))
    cells = [board.cell(row, board.columns[0]) for row in board.rows]
    assert [row.name for row in board.rows] == list(arms) and all(cells)
    deltas = [delta_words(c.delta, board.columns[0]) if c and c.delta else "" for c in cells]
    for file, status in (
        (tmp_path / "board" / "index.html", f"Differences are to {other}, "),
        (many, f"mmbench leaderboard build RESULTS --out board --baseline '{other}'"),
    ):
        page = show(file)
        spans, base = page.locator("#scores tbody td > span"), page.locator("[name=base]")
        assert base.input_value() == two and spans.all_text_contents() == deltas
        heads = page.locator("#scores tbody th.arm")
        assert [head.removesuffix("baseline") for head in heads.all_inner_texts()] == list(arms)
        labels = base.locator("option").evaluate_all("all => all.map(option => option.label)")
        assert labels == ["nothing", one, "moco \u00a0v2", "x \u00a0y"]
        choose(page, "base", one)
        assert [words == "" for words in spans.all_text_contents()] == [True, False, False]
        choose(page, "base", other)
        assert status in page.locator(".status").inner_text()
        assert show(file, page.evaluate("location.hash")).locator("[name=base]").input_value() == other
        choose(page, "base", two)
        assert spans.all_text_contents() == deltas and "base=" not in page.evaluate("location.hash")
        for field, begin in (("data", ""), ("arch", "net")):
            for arm in arms:
                choice = f"{begin}{arm[4:]}" if begin else arm
                choose(page, field, choice)
                assert names(page) == [arm]
                again = show(file, page.evaluate("location.hash"))
                assert names(again) == [arm] and again.locator(".status .warning").count() == 0
            choose(page, field, "")
        page.locator("summary", has_text="rows").first.click()
        boxes = page.locator("fieldset[name=rows] label")
        boxes.first.wait_for()
        assert boxes.all_inner_texts() == list(arms)
        page.keyboard.press("Escape")
        assert f"Differences are to {two}." in page.locator(".meta").inner_text()
        assert page.locator(".verdict").inner_text() == board.verdict
        assert page.locator(".care li").all_inner_texts() == list(board.footnotes)
        heads.nth(1).click()
        assert page.locator(".drawer h2").inner_text() == two


def test_a_page_of_many_rows_shows_plain_differences_as_the_build_rounds_them(
    built: tuple[Board, Path], tmp_path: Path, show: Callable[..., Page]
) -> None:
    board = built[0]
    (tmp_path / "index.html").write_text(render_page(board, ()))
    pairs = [(row, column) for row in board.rows for column in board.columns]
    cells = {key: cell for key in pairs if (cell := board.cell(*key)) is not None}
    page = show(tmp_path / "index.html")
    for base in board.rows:
        page.locator("[name=base]").select_option(base.name)
        status = page.locator(".status").text_content() or ""
        assert base.baseline or f"without intervals or tests: a page of more than {MOST_COMPARED}" in status
        assert base.baseline or f"--baseline {base.name}" in status
        for line, row in enumerate(board.rows):
            shown = page.locator("#scores tbody tr").nth(line).locator("td > span").all_text_contents()
            both = [c for c in board.columns if (row, c) in cells]
            expected = [
                difference(cells[row, c].summary.mean - cells[base, c].summary.mean, c.unit)
                if (base, c) in cells and row is not base
                else ""
                for c in both
            ]
            assert [words.split(" ")[0] for words in shown] == expected
            assert base.baseline or not any("[" in words for words in shown)


def drawer_facts(page: Page) -> dict[str, str]:
    """Return what the lists of the drawer say, by their terms; those inside folded parts are left out."""
    script = """drawer => Object.fromEntries([...drawer.querySelectorAll(":scope > dl > dt")]
      .map(term => [term.textContent, term.nextElementSibling.textContent]))"""
    page.wait_for_selector(".drawer[open]")
    found: dict[str, str] = page.locator(".drawer-body").evaluate(script)
    return found


@pytest.mark.parametrize("many", [False, True])
def test_drawers_show_differences_to_the_chosen_baseline_wherever_the_table_does_not_draw_the_cell(
    built: tuple[Board, Path],
    board_records: Path,
    tmp_path: Path,
    show: Callable[..., Page],
    monkeypatch: pytest.MonkeyPatch,
    many: bool,
) -> None:
    """A hidden column, a row that a search hides, and a row of another page, with and without all tests."""
    board, file = built[0], built[1] / "index.html"
    if many:
        monkeypatch.setattr(page_module, "PAGE_ROWS", 2)
        file = tmp_path / "index.html"
        file.write_text(render_page(board, ()))
    row = board.rows[-1]
    bases = [other for other in board.rows if other is not row]
    compared = [column for column in board.columns if all(board.cell(r, column) for r in (row, *bases))]
    assert len(compared) > 1 and sum(not base.baseline for base in bases) > 1
    hidden = compared[-1]
    for base in bases:
        other = read_board(board_records, base.name, published=False)
        means, words = {}, {}
        for column in compared:
            one, two = board.cell(row, column), board.cell(base, column)
            delta = other.cells[row.name, column.key].delta
            assert one is not None and two is not None and delta is not None
            means[column] = difference(one.summary.mean - two.summary.mean, column.unit)
            words[column] = means[column] if many and not base.baseline else delta_words(delta, column)
            assert words[column].startswith(means[column])
        page = show(file)
        page.locator("[name=task]").select_option(next(c.task for c in compared if c.task != hidden.task))
        page.locator("[name=base]").select_option(base.name)
        page.locator("[name=q]").fill(row.name)
        page.locator("#scores tbody th.arm").first.click()
        sent, address = drawer_facts(page), page.evaluate("location.hash")
        received = drawer_facts(show(file, address))
        assert sent == received
        for column in compared:
            assert f" {words[column]} n=" in sent[column.label], (base.name, column.label)
        for state in ("", f"&without-columns={hidden.name}", "&q=nothing+has+this+name"):
            page = show(file, f"#row={row.name}&cell={hidden.name}&base={base.name}{state}")
            assert drawer_facts(page)[f"difference to {base.name}"] == words[hidden]


def test_a_cell_opens_a_drawer_with_its_runs(built: tuple[Board, Path], show: Callable[..., Page]) -> None:
    board, folder = built
    row, column = board.rows[1], board.columns[2]
    cell = board.cell(row, column)
    assert cell is not None
    page = show(folder / "index.html")
    place = page.locator("#scores thead th", has_text=column.label).evaluate("e => e.cellIndex")
    target = page.locator("#scores tbody tr").nth(1).locator("td, th").nth(place)
    target.click()
    drawer = page.get_by_role("dialog")
    assert drawer.locator("h2").text_content() == f"{row.name}: {column.label}"
    assert drawer.locator(".run summary b").all_text_contents() == [
        score(run.value, column) for run in cell.runs
    ]
    drawer.locator(".run summary").first.click()
    words = drawer.text_content() or ""
    assert column.protocol in words and cell.runs[0].record in words
    assert drawer.locator("pre").first.text_content() == f"mmbench reproduce {cell.runs[0].record}"
    for name, value in json.loads(column.config).items():
        assert f"{name}: {value}" in words
    assert cell.runs[0].provenance is not None
    for what, value in board.provenances[cell.runs[0].provenance]:
        assert what in words and value in words
    link = drawer.locator("dd a", has_text=cell.runs[0].record).first
    if link.count():
        assert Path(link.evaluate("e => decodeURIComponent(new URL(e.href).pathname)")).is_file()
    address = page.evaluate("location.hash")
    page.keyboard.press("Escape")
    assert not drawer.is_visible() and target.evaluate("e => e === document.activeElement")
    again = show(folder / "index.html", address)
    assert again.get_by_role("dialog").locator("h2").text_content() == f"{row.name}: {column.label}"


def test_the_drawer_names_a_command_that_finds_the_record(
    record: Callable[..., Result], tmp_path: Path, show: Callable[..., Page]
) -> None:
    folder = tmp_path / "it's a demo"
    store = ResultStore(folder / "results")
    own = record("moco", config={"weight_decays": [0.1], "protocol_file_sha256": "ab" * 32})
    path = store.write(own.model_copy(update={"model": own.model.model_copy(update={"arm": "-x"})}))
    build(store.root, folder / "board", published=False)
    page = show(folder / "board" / "index.html")
    page.locator("#scores tbody td b").first.click()
    drawer = page.get_by_role("dialog")
    words = shlex.split(drawer.locator("pre").text_content() or "")
    assert words[:2] == ["mmbench", "reproduce"] and Path(words[2]) == path and len(words) == 3
    assert reproduce.make_context("reproduce", words[2:]).params["record"] == path
    advice = drawer.locator(".run > .legend").last.text_content() or ""
    assert "--checkpoint" in advice and "--protocol" in advice and "--labels-file" not in advice


def test_the_keyboard_reaches_every_cell_and_its_drawer(
    built: tuple[Board, Path], show: Callable[..., Page]
) -> None:
    page = show(built[1] / "index.html")
    assert page.locator("#scores tbody [tabindex='0']").count() == 1
    page.locator("#scores tbody [tabindex='0']").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowUp", "Home", "Enter"):
        page.keyboard.press(key)
    assert page.locator(".drawer h2").text_content() == built[0].rows[0].name
    page.keyboard.press("Escape")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert (
        page.locator(".drawer h2").text_content() == f"{built[0].rows[0].name}: {built[0].columns[-1].label}"
    )


def test_axe_finds_nothing(built: tuple[Board, Path], show: Callable[..., Page]) -> None:
    page = show(built[1] / "index.html")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert Axe().run(page).violations_count == 0
    page.locator("#scores tbody td b").first.click()
    page.wait_for_timeout(300)
    assert Axe().run(page).violations_count == 0


def test_dark_mode_is_dark(built: tuple[Board, Path], show: Callable[..., Page]) -> None:
    page = show(built[1] / "index.html", color_scheme="dark", reduced_motion="reduce")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in ground[4:-1].split(",")) < 60
    page.locator("#scores tbody td b").first.click()
    assert page.locator(".drawer").evaluate("e => getComputedStyle(e).animationName") == "none"


@pytest.mark.parametrize("width", [320, 390, 768])
def test_the_body_never_scrolls_sideways(
    built: tuple[Board, Path], show: Callable[..., Page], width: int
) -> None:
    page = show(built[1] / "index.html", viewport={"width": width, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    arm = page.locator("#scores tbody th.arm").first
    page.locator(".scroll").first.evaluate("e => e.scrollLeft = 300")
    box = arm.bounding_box()
    assert box is not None and 0 <= box["x"] < 30, "the first column stays"


def test_cells_are_one_line(built: tuple[Board, Path], show: Callable[..., Page]) -> None:
    page = show(built[1] / "index.html")
    for view in ("score", "interval", "difference", "runs"):
        page.locator("[name=view]").select_option(view)
        assert (
            page.evaluate(
                "Math.max(...[...document.querySelectorAll('#scores tbody td')].map(e => e.offsetHeight))"
            )
            < 40
        )


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("script", [True, False])
def test_print_loses_nothing(
    built: tuple[Board, Path],
    show: Callable[..., Page],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wide: bool,
    script: bool,
) -> None:
    """A board of 42 columns and two pages of rows, and one of 6; A4 in landscape is 1047 CSS pixels wide."""
    board, file = built[0], built[1] / "index.html"
    if wide:
        monkeypatch.setattr(page_module, "PAGE_ROWS", 10)
        columns = [
            replace(column, label=f"{column.label} {n}", dataset=f"d{n}")
            for n in range(7)
            for column in board.columns
        ]
        rows = [replace(row, name=f"{row.name} {n}", baseline=False) for n in range(4) for row in board.rows]
        first = next(iter(board.cells.values()))
        cells = {(row.name, column.key): first for row in rows for column in columns}
        board = replace(board, rows=tuple(rows), columns=tuple(columns), cells=cells, published=())
        file = tmp_path / "index.html"
        file.write_text(render_page(board, ()))
    page = show(file, viewport={"width": 1047, "height": 740}, java_script_enabled=script)
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    page.emulate_media(media="print")
    if script:
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1047
    assert page.evaluate(CUT_OFF) == []
    shown = page.locator("#scores tbody tr").evaluate_all(SHOWN)
    facts = page.locator("#scores thead th.fact").count()
    assert shown == [1 + facts + len(board.columns)] * len(board.rows)
    if wide:
        label = page.evaluate(LAST_LABEL)
        assert "data-label" in label or board.columns[-1].label in label
        written = (
            page.locator("#scores tbody tr")
            .last.locator("td[data-label]")
            .evaluate_all("cells => cells.map(cell => cell.dataset.label)")
        )
        assert written == ([column.label for column in board.columns] if script else [])


def test_without_javascript_the_table_is_whole(built: tuple[Board, Path], show: Callable[..., Page]) -> None:
    board, folder = built
    page = show(folder / "index.html", java_script_enabled=False)
    assert names(page) == [row.name for row in board.rows]
    assert not page.locator(".bar").is_visible()
    assert page.locator("#scores td > small").first.is_visible(), "the number of runs"


def test_hostile_names_stay_text(
    record: Callable[..., Result], write: Callable[..., Path], tmp_path: Path, show: Callable[..., Page]
) -> None:
    board = read_board(write(record("moco"), record("mscn")), "mscn", published=False)
    row, column = replace(board.rows[0], name=HOSTILE, arch=HOSTILE), replace(board.columns[0], label=HOSTILE)
    cell = board.cell(board.rows[0], board.columns[0])
    assert cell is not None
    hostile = replace(
        board,
        title=HOSTILE,
        rows=(row, board.rows[1]),
        columns=(column,),
        cells={(HOSTILE, column.key): cell},
    )
    (tmp_path / "index.html").write_text(render_page(hostile, (), records="../r"))
    page = show(tmp_path / "index.html")
    assert page.title() == " ".join(HOSTILE.replace("\u2028", " ").split()) or page.title().startswith(
        "a</script>"
    )
    page.locator("#scores tbody td b").first.click()
    assert (page.locator(".drawer h2").text_content() or "").startswith("a</script><img")
    assert page.locator("img").count() == 0
    again = show(tmp_path / "index.html", page.evaluate("location.hash"))
    assert (again.locator(".drawer h2").text_content() or "").startswith("a</script><img")
