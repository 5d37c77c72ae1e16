"""The API, version 1: a module for each subject, each with a ``router``."""
