"""The paper bot: its state, its switch, and lists of its accounts, orders and equity."""
