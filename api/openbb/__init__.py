"""A data backend for OpenBB Workspace: its widgets, and the rows of their tables.

See https://docs.openbb.co/workspace/developers/data-integration.
"""
