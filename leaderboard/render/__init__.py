"""The frozen board in every form: page, Markdown, LaTeX, CSV, Parquet, JSON, terminal, plots."""
