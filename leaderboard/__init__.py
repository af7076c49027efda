"""pandas: result records -> tables -> Markdown, CSV, LaTeX, HTML, plots; published baselines beside them."""
