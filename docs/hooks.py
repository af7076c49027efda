"""MkDocs hook: adds the generated pages (protocols, command line, project files) to the site."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from mmbench.tools.documentation import generated_pages

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
