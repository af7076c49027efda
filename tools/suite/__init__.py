"""`mmbench suite`: a whole benchmark as one plan of cells, run on Parsl on one machine or a cluster."""
