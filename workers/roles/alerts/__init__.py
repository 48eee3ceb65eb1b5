"""The role `alerts`: conditions of users on a symbol's trades."""
