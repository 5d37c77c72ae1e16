"""Names of upstreams, and where a simulator that was started says its URL."""

LIVE = "live"
SIMULATOR = "simulator"
SIMULATOR_URL_FILE = "simulator.url"
"""In the home."""
