"""Which Python files of the repository a source can reach through the names that it uses.

`import rnnlab as rl` loads half of the module, but a lesson that says `rl.Adam` and `rl.train` depends on the files
that define these two, and on what those import, and on no other. So a name taken from a package is followed through
the package's `__init__` to the file that defines it. Where a package is used otherwise than by `rl.Name` (handed on,
or asked with `getattr`), all that its `__init__` names is reached.
"""

import ast
import functools
from pathlib import Path

from tools.lessons.places import NOTEBOOKS, ROOT

# Where an absolute import of a lesson can lead to: the repository, and the folders that lessons put on their path.
FOLDERS = (ROOT, NOTEBOOKS, NOTEBOOKS / "evidence")
ALWAYS = {"rnnlab": "rnnlab.threads"}  # what the import of a package does beside naming things


@functools.cache
def located(name: str):
    """Return the file of a module by its absolute name, or None if it is none of this repository."""
    parts = name.split(".")
    for folder in FOLDERS:
        path = folder.joinpath(*parts)
        for file in (path / "__init__.py", path.with_name(path.name + ".py")):
            if file.is_file():
                return file
    return None


@functools.cache
def tree(file: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(file.read_text(encoding="utf-8"))


@functools.cache
def exports(package: str) -> dict:
    """Return what the `__init__` of a package takes from elsewhere: dict name -> (module, name there)."""
    found = {}
    for node in tree(located(package)).body:
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
    return found


def is_package(module: str) -> bool:
    """Return whether a module of the repository is a package."""
    file = located(module)
    return file is not None and file.name == "__init__.py"


def defining(module: str, name: str) -> set:
    """Return the modules that a name taken from a module leads to."""
    if located(f"{module}.{name}"):
        return {f"{module}.{name}"}
    if is_package(module) and name in exports(module):
        return defining(*exports(module)[name])
    return {module} if located(module) else set()


def everything(package: str) -> set:
    """Return the modules behind all names of a package."""
    return {module for name in exports(package) for module in defining(package, name)} | {package}


def direct(source: ast.AST) -> set:
    """Return the modules of the repository that a source takes names from, each where the name is defined."""
    nodes, found, aliases = list(ast.walk(source)), set(), {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                found |= defining(node.module, alias.name) if alias.name != "*" else {node.module}
                if is_package(f"{node.module}.{alias.name}"):
                    aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                target = alias.name if alias.asname else alias.name.partition(".")[0]
                if is_package(target):
                    aliases[alias.asname or target] = target
                found |= {alias.name} if located(alias.name) and not is_package(alias.name) else set()
    for name, package in aliases.items():
        found |= used(nodes, name, package)
    return {module for module in found if located(module)}


def used(nodes: list, name: str, package: str) -> set:
    """Return the modules that a source of these nodes reaches through a package that it calls `name`."""
    found, as_owner = {ALWAYS[package]} if package in ALWAYS else set(), set()
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name:
            found |= defining(package, node.attr)
            as_owner.add(id(node.value))
    bare = [node for node in nodes if isinstance(node, ast.Name) and node.id == name]
    return found if all(id(node) in as_owner for node in bare) else found | everything(package)


def names() -> list:
    """Return what decides where a name leads, beside the files that it leads through: which files there are, and what
    the `__init__` of each package says."""
    files = sorted(
        {*(ROOT / "rnnlab").rglob("*.py"), *(file for folder in FOLDERS[1:] for file in folder.glob("*.py"))}
    )
    inits = [file.read_text(encoding="utf-8") for file in files if file.name == "__init__.py"]
    return [file.relative_to(ROOT).as_posix() for file in files] + inits


@functools.cache
def direct_of_module(module: str) -> frozenset:
    """Return what a module of the repository reaches at once; the `__init__` of a package only hands on names."""
    return frozenset() if is_package(module) else frozenset(direct(tree(located(module))))


def forget() -> None:
    """Look at the files again: they may have changed since this process began."""
    for cached in (located, tree, exports, direct_of_module):
        cached.cache_clear()


def reached(source: str) -> list:
    """Return the Python files of the repository that a source can reach, in order.

    >>> [file.name for file in reached("import rnnlab as rl; rl.global_norm")]
    ['clipping.py', 'operands.py', 'threads.py']
    """
    found, new = set(), direct(ast.parse(source))
    while new:
        found |= new
        new = {target for module in new for target in direct_of_module(module)} - found
    return sorted({located(module) for module in found})
