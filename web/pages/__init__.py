"""The page: what people look at. Each module has a ``router``; none holds logic of its own."""
