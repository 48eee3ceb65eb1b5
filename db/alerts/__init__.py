"""Alerts: their definitions, and the state that workers keep of them."""
