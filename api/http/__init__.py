"""HTTP itself: bodies, times, pages, problems, compression, limits; nothing of markets."""
