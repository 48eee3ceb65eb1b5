"""Files of past trades: their reading in blocks, and their download."""
