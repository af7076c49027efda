"""The shipped suites, a YAML file each."""
