"""HTTP: bodies, times, paging, problems, compression and timeouts; nothing about markets."""
