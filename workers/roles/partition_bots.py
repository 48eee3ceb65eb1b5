"""The paper bot of one partition: an account a symbol, one switch for all of them. Pure."""

from db.bot.states import BotRows, BotStates
from tickplant.bot import Rules
from tickplant.derived import BotSwitch
from tickplant.market import SymbolId
from workers.roles.bot import SymbolBot


class PartitionBots:
    """Makes the bot of each symbol, and gathers what they change."""

    def __init__(self, partition: int, rules: Rules, states: BotStates) -> None:
        """Begin with what the database holds.

        Args:
            partition: the one owned.
            rules: how to trade.
            states: of `db.bot.states.read_bot_states`.
        """
        self._partition = partition
        self._rules = rules
        self._bots = {symbol: SymbolBot(*symbol, rules, state) for symbol, state in states.accounts.items()}
        self._switch = states.switch
        self._switched = False

    def of(self, venue: str, symbol: str) -> SymbolBot:
        """Return the bot of a symbol; a new one begins switched as the others are."""
        key = SymbolId(venue, symbol)
        bot = self._bots.get(key)
        if bot is None:
            bot = self._bots[key] = SymbolBot(venue, symbol, self._rules, None)
            if self._switch is not None:
                bot.switch(self._switch)
        return bot

    def switch(self, switch: BotSwitch) -> None:
        """Switch trading on or off; an older version than the last changes nothing."""
        if self._switch is None or switch.version > self._switch.version:
            self._switch, self._switched = switch, True
            for bot in self._bots.values():
                bot.switch(switch)

    def take(self) -> BotRows | None:
        """Return what has changed since the last call; None if nothing has."""
        changes = [taken for bot in self._bots.values() if (taken := bot.take()) is not None]
        switch, self._switched = self._switch if self._switched else None, False
        if not changes and switch is None:
            return None
        return BotRows(self._partition, changes, switch)
