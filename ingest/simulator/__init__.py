"""The market simulator: a real HTTP server that answers as the upstreams do."""
