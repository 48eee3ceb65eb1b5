"""Chromium for tests."""

import pytest

from bench.browser import CHROMIUM, Browser, browser

__all__ = ["Browser", "browser", "needs_chromium"]

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")
