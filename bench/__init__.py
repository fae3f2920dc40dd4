"""`make bench`: what the operator costs, beside the least that a scraper in Go could cost, on profiles of real processes."""
