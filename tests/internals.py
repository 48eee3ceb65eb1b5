"""What subclasses of libraries' classes use of their parents, for tests that fail when it has changed."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any


def used(subclass: type) -> tuple[set[str], set[str]]:
    """The attributes of its instances that a class does not make, and the parent's methods that it calls."""
    source = ast.parse(textwrap.dedent(inspect.getsource(subclass)))
    attributes, inherited, made = set(), set(), set()
    for node in ast.walk(source):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            stored = (child for child in ast.walk(node) if isinstance(child, ast.Attribute))
            made |= {attribute.attr for attribute in stored if isinstance(attribute.ctx, ast.Store)}
        elif isinstance(node, ast.Attribute):
            match node.value:
                case ast.Name(id="self"):
                    attributes.add(node.attr)
                case ast.Call(func=ast.Name(id="super")):
                    inherited.add(node.attr)
    return attributes - made, inherited


def missing(subclass: type, parent: Any) -> Iterator[str]:
    """Names that a subclass needs of an instance of its parent, and that it lacks."""
    attributes, inherited = used(subclass)
    own = vars(subclass).keys() | subclass.__annotations__.keys()
    yield from (name for name in attributes - own if not hasattr(parent, name))
    yield from (name for name in inherited if not hasattr(parent, name))


def changed_signatures(subclass: type, parent: type) -> Iterator[str]:
    """Methods of a parent that a subclass overrides with other parameters, or as another kind of function."""
    for name in sorted(vars(subclass).keys() & vars_of(parent)):
        overridden, original = getattr(subclass, name), getattr(parent, name)
        if name.startswith("__") or not inspect.isfunction(overridden):
            continue
        same = list(inspect.signature(overridden).parameters) == list(inspect.signature(original).parameters)
        if not same or inspect.iscoroutinefunction(overridden) != inspect.iscoroutinefunction(original):
            yield name


def vars_of(parent: type) -> set[str]:
    return {name for ancestor in parent.__mro__ for name in vars(ancestor)}
