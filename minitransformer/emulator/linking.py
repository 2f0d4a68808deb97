"""From functions as they are written to kernels that can run.

Every block ``{ ... }`` may declare registers that hide those outside, and a kernel may call
functions. Afterwards each register has one name in the whole kernel, and the body of a function
stands wherever it was called: its parameters are registers, its return is a jump.
"""

from collections import ChainMap
from dataclasses import dataclass, field, replace

from minitransformer.emulator.parsing import Function, Text, read, register_names
from minitransformer.emulator.program import (
    Address,
    EmulationError,
    Instruction,
    Operand,
    PtxKernel,
    PtxModule,
    UnsupportedError,
    Variable,
    size_of,
)


def parse(ptx: str) -> PtxModule:
    """Read a PTX text.

    Parameters
    ----------
    ptx
        As a compiler writes it; with line information, errors name lines of the source.

    Returns
    -------
    PtxModule

    Raises
    ------
    EmulationError
        If the text is not understood, or calls a function without a body.

    References
    ----------
    NVIDIA, "Parallel Thread Execution ISA".
    """
    text = read(ptx)
    kernels = {f.name: _link(f, text) for f in text.functions.values() if f.is_kernel}
    return PtxModule(text.target, kernels)


@dataclass
class _Linker:
    text: Text
    registers: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    code: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    tables: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Labels among which ``brx.idx`` chooses, by the label of their list."""
    blocks: int = 0

    def emit(self, function: Function, names: dict[str, str], calls: tuple[str, ...]) -> None:
        """Append the code of a function; ``names`` are those of its parameters here."""
        suffix = f"~{self.blocks}" if calls else ""
        end = f"end{suffix}"
        scopes: ChainMap[str, str] = ChainMap(names)
        last = ""
        for statement in function.statements:
            if statement.kind == "open":
                scopes = scopes.new_child()
                self.blocks += 1
            elif statement.kind == "close":
                scopes = scopes.parents
            elif statement.kind == "label":
                self.labels[statement.text + suffix] = len(self.code)
                last = statement.text
            elif statement.kind == "targets":
                self.tables[last] = tuple(name.strip() for name in statement.text.split(","))
            elif statement.kind == "registers":
                for name, kind in register_names(statement.text).items():
                    self.registers[self._declare(name, scopes)] = kind
            elif statement.variable:
                name = self._declare(statement.variable.name, scopes)
                self.variables[name] = replace(statement.variable, name=name)
            elif statement.instruction:
                self._append(statement.instruction, scopes, suffix, end, calls, function.name)
        if calls:
            self.labels[end] = len(self.code)

    def _declare(self, name: str, scopes: ChainMap[str, str]) -> str:
        taken = name in self.registers or name in self.variables
        scopes[name] = f"{name}~{self.blocks}" if taken else name
        return scopes[name]

    def _append(
        self,
        instruction: Instruction,
        scopes: ChainMap[str, str],
        suffix: str,
        end: str,
        calls: tuple[str, ...],
        caller: str,
    ) -> None:
        if instruction.opcode == "call":
            self._call(instruction, scopes, (*calls, caller))
            return
        if instruction.opcode in ("ret", "exit") and calls:
            back = replace(instruction, opcode="bra", modifiers=(), operands=(end,))
            self.code.append(_renamed(back, scopes, ""))
            return
        if instruction.opcode == "brx":
            index, table = instruction.operands
            instruction = replace(instruction, operands=(index, self.tables[str(table)]))
        instruction = _renamed(instruction, scopes, suffix)
        if "param" in instruction.modifiers and instruction.opcode in ("ld", "st"):
            self._pass(instruction)
        else:
            self.code.append(instruction)

    def _call(
        self, instruction: Instruction, scopes: ChainMap[str, str], calls: tuple[str, ...]
    ) -> None:
        operands = list(instruction.operands)
        results = operands.pop(0) if isinstance(operands[0], tuple) else ()
        name = str(operands.pop(0))
        arguments = operands.pop(0) if operands else ()
        function = self.text.functions.get(name)
        if function is None:
            raise UnsupportedError(f"{instruction} calls {name}, whose code is not in the PTX")
        if name in calls:
            raise UnsupportedError(f"{instruction} calls {name} within itself")
        assert isinstance(results, tuple)
        assert isinstance(arguments, tuple)
        formal = [variable.name for variable in (*function.results, *function.parameters)]
        actual = [scopes.get(name, name) for name in (*results, *arguments)]
        self.blocks += 1
        self.emit(function, dict(zip(formal, actual, strict=True)), calls)

    def _pass(self, instruction: Instruction) -> None:
        """Parameters of a call are registers, one for each offset that is used."""
        kind = instruction.modifiers[-1]
        inside, outside = instruction.operands
        if instruction.opcode == "st":
            inside, outside = outside, inside
        assert isinstance(outside, Address)
        if outside.base not in self.variables:
            self.code.append(instruction)  # a parameter of the kernel itself
            return
        for i, name in enumerate(inside if isinstance(inside, tuple) else (str(inside),)):
            slot = f"{outside.base}+{outside.offset + i * size_of(kind)}"
            if size_of(self.registers.setdefault(slot, kind)) != size_of(kind):
                raise UnsupportedError(f"{instruction} passes a value in two widths")
            pair = (slot, name) if instruction.opcode == "st" else (name, slot)
            self.code.append(replace(instruction, opcode="mov", modifiers=(kind,), operands=pair))


def jumps(instruction: Instruction) -> tuple[str, ...]:
    """Labels to which an instruction may jump."""
    if instruction.opcode not in ("bra", "brx"):
        return ()
    labels = instruction.operands[-1]
    return labels if isinstance(labels, tuple) else (str(labels),)


def _renamed(instruction: Instruction, scopes: ChainMap[str, str], suffix: str) -> Instruction:
    def rename(name: str) -> str:
        bare = name.removeprefix("!")
        if bare.startswith("$"):
            return name + suffix
        return name.removesuffix(bare) + scopes.get(bare, bare)

    def operand(given: Operand) -> Operand:
        if isinstance(given, Address):
            return Address(rename(given.base), given.offset)
        return tuple(map(rename, given)) if isinstance(given, tuple) else rename(given)

    guard = rename(instruction.guard) if instruction.guard else None
    return replace(instruction, operands=tuple(map(operand, instruction.operands)), guard=guard)


def _link(function: Function, text: Text) -> PtxKernel:
    linker = _Linker(text, variables=dict(text.variables))
    linker.emit(function, {}, ())
    for step in linker.code:
        if not linker.labels.keys() >= set(jumps(step)):
            raise EmulationError(f"{step} jumps to a label that does not exist")
    return PtxKernel(
        function.name,
        function.parameters,
        linker.registers,
        tuple(linker.code),
        linker.labels,
        linker.variables,
    )
