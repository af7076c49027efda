"""`mmbench demo`: the whole way on embedded data, in warm worker processes."""
