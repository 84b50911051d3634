"""What the tests share: drawn heads, small models, odd films, a visitor of the page."""
