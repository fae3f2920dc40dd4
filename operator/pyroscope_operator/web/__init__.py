"""The operator's own HTTP server: health, metrics and what is scraped."""
