"""`mmbench demo`: the whole pipeline on embedded data, in warm worker processes."""
