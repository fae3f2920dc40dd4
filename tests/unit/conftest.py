"""Puts this folder on sys.path, as pytest does with every folder of a conftest: `builders` serves all tests below."""
