"""Scraping: one loop for each target times profile type.

pool.py      the set of loops; `sync` starts, changes and stops them
loop.py      when: slots pinned to absolute time, never overlapping
scraper.py   what happens at a slot: fetch, check, difference, hand over
fetch.py     one HTTP request, bounded in time and size
health.py    how the last scrape went
"""
