"""Published numbers: shown beside the measured ones, never ranked or averaged with them."""
