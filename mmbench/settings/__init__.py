"""Settings: their types, their values as text, and one line for what is wrong with them."""
