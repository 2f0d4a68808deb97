"""From PTX text to kernels.

PTX is the assembly language of NVIDIA GPUs as compilers write it: registers without number, one
operation a line, types in the names of the instructions. The text is cut into statements here;
``blocks.py`` gives every register a name of its own and copies called functions in.
"""

import bisect
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from minitransformer.emulator.program import (
    DTYPES,
    Address,
    EmulationError,
    Instruction,
    Location,
    Operand,
    Variable,
)

_TOKEN = re.compile(
    r"""\s+ | //[^\n]* | /\*.*?\*/
    | (?P<location>\.loc\b[^\n]*)
    | \.file\s+(?P<file>\d+)\s+"(?P<path>[^"]*)"[^\n]*
    | \.target\s+(?P<target>\w+)[^\n]*
    | \.(?:version|address_size)\b[^\n]*
    | (?P<header>(?:\.(?:visible|extern|weak)\s+)*\.(?:entry|func)\b[^{;]*)
    | (?P<open>\{) | (?P<close>\})
    | (?P<label>[$\w]+):
    | (?P<statement>[^;]*);""",
    re.VERBOSE | re.DOTALL,
)
_VARIABLE = re.compile(
    r"""(?:\.(?:visible|extern|weak|common)\s+)*\.(?P<space>global|const|shared|local|param)\s+
    (?:\.align\s+(?P<align>\d+)\s+)?\.(?P<type>\w+)\s+(?:\.ptr[^%$\w]*)?
    (?P<name>[\w$%]+)(?:\[(?P<count>\d*)\])?(?:\s*=\s*\{?(?P<values>[^}]*)\}?)?\s*$""",
    re.VERBOSE,
)
_INSTRUCTION = re.compile(r"(?:@(!?[\w$%]+)\s+)?([a-z]\w*)((?:(?:\.|::)\w+)*)\s*(.*)", re.DOTALL)
_ADDRESS = re.compile(r"\[\s*([\w$%.]+)\s*(?:\+\s*(-?\w+))?\s*\]")
_LOC = re.compile(r"\.loc\s+(\d+)\s+(\d+)")
_INLINED = re.compile(r"inlined_at\s+(\d+)\s+(\d+)")


@dataclass
class Function:
    """A kernel or a function, as it is written: scopes are open, calls are calls."""

    name: str
    is_kernel: bool
    results: tuple[Variable, ...]
    parameters: tuple[Variable, ...]
    statements: list["Statement"] = field(default_factory=list)


@dataclass(frozen=True)
class Statement:
    """What stands between two semicolons, or a brace, or a label."""

    kind: str
    """``open``, ``close``, ``label``, ``targets``, ``registers``, ``variable``, ``instruction``."""
    text: str = ""
    variable: Variable | None = None
    instruction: Instruction | None = None


@dataclass
class Text:
    """All declarations of a PTX text."""

    target: str = ""
    functions: dict[str, Function] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)
    variables: dict[str, Variable] = field(default_factory=dict)


def read(ptx: str) -> Text:
    """Cut a PTX text into functions of statements.

    Raises
    ------
    EmulationError
        Naming the line that is not understood.
    """
    ptx = ptx.split("\n\t.section", 1)[0]
    text, function, depth = Text(), None, 0
    lines = [match.start() for match in re.finditer("\n", ptx)]
    files = dict(re.findall(r'\.file\s+(\d+)\s+"([^"]*)"', ptx))
    location = Location("", 0)
    for match in _tokens(ptx):
        kind, found = match.lastgroup, match.group().strip()
        line = bisect.bisect_left(lines, match.start() + len(match.group()) - len(found)) + 1
        if kind == "target":
            text.target = match["target"]
        elif kind == "location":
            location = _location(found, files, location)
        elif kind == "header":
            function = _header(found)
        elif function is None or (depth == 0 and kind == "statement"):
            if function is not None:  # a header that ends in a semicolon only declares
                text.declared.add(function.name)
                function = None
            elif variable := _variable(found.rstrip(";")):
                text.variables[variable.name] = variable
        else:
            depth += (kind == "open") - (kind == "close")
            function.statements.append(_statement(kind or "", match, location, line))
            if depth == 0:
                text.functions[function.name] = function
                function = None
    return text


def _tokens(ptx: str) -> Iterator[re.Match[str]]:
    position = 0
    while position < len(ptx):
        match = _TOKEN.match(ptx, position)
        if match is None:
            line = ptx.count("\n", 0, position) + 1
            raise EmulationError(
                f"line {line} of the PTX is not understood: {ptx[position:][:60]!r}"
            )
        position = match.end()
        if match.lastgroup:
            yield match


def _location(text: str, files: dict[str, str], last: Location) -> Location:
    """Of code that was inlined, the line of the kernel; line 0 is the compiler's own code."""
    match = _INLINED.search(text) or _LOC.match(text)
    assert match
    file, line = files.get(match[1], ""), int(match[2])
    return Location(file, line) if line else Location(file or last.file, last.line)


def _header(text: str) -> Function:
    kernel = ".entry" in text
    lists = re.findall(r"\(([^)]*)\)", text)
    name = re.sub(r"\([^)]*\)", " ", re.sub(r"^.*?\.(?:entry|func)\b", "", text, flags=re.DOTALL))
    declared = [tuple(map(_parameter, filter(str.strip, part.split(",")))) for part in lists]
    has_results = not kernel and bool(re.match(r".*?\.func\s*\(", text, re.DOTALL))
    results = declared.pop(0) if has_results else ()
    return Function(name.split()[0], kernel, results, declared[0] if declared else ())


def _parameter(text: str) -> Variable:
    variable = _variable(text.strip())
    if variable is None:
        raise EmulationError(f"the parameter {text.strip()!r} is not understood")
    return variable


def _variable(text: str) -> Variable | None:
    match = _VARIABLE.match(text)
    if match is None:
        return None
    kind = match["type"]
    count = 1 if match["count"] is None else int(match["count"]) if match["count"] else None
    values = match["values"].split(",") if match["values"] else []
    data = b"".join(_bytes(value.strip(), kind) for value in values)
    return Variable(match["name"], match["space"], kind, int(match["align"] or 1), count, data)


def _bytes(value: str, kind: str) -> bytes:
    size = int(kind[1:]) // 8
    return (literal(value) & (1 << 8 * size) - 1).to_bytes(size, "little")


def literal(text: str) -> int:
    """Bits of a number as PTX writes it: decimal, ``0x``, ``0f`` and ``0d`` for floats.

    Raises
    ------
    ValueError
        If it is none.
    """
    if text[:2] in ("0f", "0F"):
        return int(text[2:], 16)
    if text[:2] in ("0d", "0D"):
        return int(text[2:], 16)
    if "." in text:
        return int.from_bytes(struct.pack("<d", float(text)), "little")
    return int(text.rstrip("U"), 0)


def _statement(kind: str, match: re.Match[str], location: Location, line: int) -> Statement:
    text = match[kind].strip()
    if kind != "statement":
        return Statement(kind, text)
    if text.startswith(".branchtargets"):
        return Statement("targets", text.removeprefix(".branchtargets"))
    if text.startswith((".reg", ".pragma")):
        return Statement("registers" if text.startswith(".reg") else "pragma", text)
    variable = _variable(text)
    if variable is not None:
        return Statement("variable", variable=variable)
    parsed = _INSTRUCTION.fullmatch(text)
    if parsed is None:
        raise EmulationError(f"line {line} of the PTX is not understood: {text!r}")
    guard, opcode, modifiers, operands = parsed.groups()
    words = tuple(filter(None, re.split(r"\.|::", modifiers)))
    short = " ".join(text.split())
    instruction = Instruction(opcode, words, _operands(operands), guard, location, short, line)
    return Statement("instruction", instruction=instruction)


def _operands(text: str) -> tuple[Operand, ...]:
    parts = re.findall(r"(?:\{[^}]*\}|\[[^\]]*\]|\([^)]*\)|[^,{}\[\]()])+", text)
    return tuple(_operand(part.strip()) for part in parts if part.strip())


def _operand(text: str) -> Operand:
    if text[0] in "{(":
        return tuple(part.strip() for part in text[1:-1].split(",") if part.strip())
    if text[0] == "[":
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise EmulationError(f"the address {text!r} is not understood")
        return Address(match[1], literal(match[2] or "0"))
    if "|" in text:
        return tuple(text.split("|"))
    return text


def register_names(text: str) -> dict[str, str]:
    """Names and type that a ``.reg .b32 %r<3>, x;`` declares."""
    _, kind, names = text.replace("\t", " ").split(None, 2)
    if kind[1:] not in DTYPES:
        raise EmulationError(f"registers of type {kind} are outside the subset")
    declared: dict[str, str] = {}
    for name in names.split(","):
        ranged = re.fullmatch(r"([^<]+)<(\d+)>", name.strip())
        every = [f"{ranged[1]}{i}" for i in range(int(ranged[2]))] if ranged else [name.strip()]
        declared.update(dict.fromkeys(every, kind[1:]))
    return declared
