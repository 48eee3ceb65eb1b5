"""The shared vocabulary of the plant, and its front door."""
