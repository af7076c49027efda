"""Records: one measurement each, and the folder that holds them."""
