"""MkDocs hook: adds the generated pages (protocols, command line, project files) and parts of pages."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from mmbench.tools.documentation import generated_pages, with_generated_parts

PAGES = generated_pages()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace an entry of the navigation that ends in "/" by the generated pages in that folder."""
    for section in config.nav or ():
        for title, target in section.items():
            if isinstance(target, str) and target.endswith("/"):
                section[title] = [page for page in PAGES if page.startswith(target)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages; they are never written to the repository."""
    for path, text in PAGES.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put generated parts, such as the table of comparability, into the pages that ask for them."""
    return with_generated_parts(markdown)
