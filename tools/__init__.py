"""The commands around the stages: data, convert, inspect, preview, doctor, demo."""
