"""The web application: an API that enqueues and serves, and a page where people look."""
