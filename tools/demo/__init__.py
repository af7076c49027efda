"""`mmbench demo`: the suite `demo`."""
