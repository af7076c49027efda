"""One YAML file per data set: what it is and how its splits come about. Read by `mmbench.data.manifest`."""
