"""Instructions by which the 32 threads of a warp exchange values without memory."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from minitransformer.emulator.active import Active
from minitransformer.emulator.program import Array, Instruction, UnsupportedError

if TYPE_CHECKING:
    from minitransformer.emulator.machine import Machine

OPCODES = {"shfl", "vote", "match", "activemask", "redux"}
WARP = 32
_LANE = np.arange(WARP)
_BIT = np.uint32(1) << np.arange(WARP, dtype=np.uint32)


def members(instruction: Instruction) -> str | None:
    """The operand that names the lanes that must take part; None if the instruction has none."""
    if instruction.opcode in OPCODES - {"activemask"} and "sync" in instruction.modifiers:
        return str(instruction.operands[-1])
    if instruction.opcode == "bar" and instruction.modifiers[0] == "warp":
        return str(instruction.operands[0])
    return None


def step(machine: "Machine", instruction: Instruction) -> Callable[[Active], None]:
    """An exchange among the active threads of each warp, made ready."""
    return {
        "shfl": _shuffle,
        "vote": _vote,
        "match": _match,
        "activemask": _active_mask,
        "redux": _reduce,
    }[instruction.opcode](machine, instruction)


def _targets(machine: "Machine", instruction: Instruction, *kinds: str) -> list[Array | None]:
    operand = instruction.operands[0]
    names = operand if isinstance(operand, tuple) else (str(operand),)
    pairs = zip(names, kinds, strict=False)
    return [None if n == "_" else machine.registers.destination(n, kind) for n, kind in pairs]


def _shuffle(machine: "Machine", instruction: Instruction) -> Callable[[Active], None]:
    """Each lane reads a register of another lane; beyond its segment it keeps its own value."""
    mode = next(word for word in instruction.modifiers if word in ("up", "down", "bfly", "idx"))
    value, lane, clamp = (machine.source(str(o), "b32") for o in instruction.operands[1:4])
    target, inside = [*_targets(machine, instruction, "b32", "pred"), None][:2]

    def execute(active: Active) -> None:
        own = np.broadcast_to(_LANE, (machine.columns // WARP, WARP)).reshape(-1)
        step = (np.broadcast_to(lane, own.shape) & 31).astype(np.int64)
        segment = (np.broadcast_to(clamp, own.shape).astype(np.int64) >> 8) & 31
        limit = np.broadcast_to(clamp, own.shape).astype(np.int64) & 31
        low = own & segment
        high = low | (limit & ~segment)
        if mode == "up":
            source = own - step
            good = source >= high
        else:
            source = {"down": own + step, "bfly": own ^ step, "idx": low | (step & ~segment)}[mode]
            good = source <= high
        source = np.where(good, source, own) + np.arange(own.size) // WARP * WARP
        if target is not None:
            np.copyto(target, np.broadcast_to(value, own.shape)[source], where=active.mask)
        if inside is not None:
            np.copyto(inside, good, where=active.mask)

    return execute


def _ballot(flags: Array) -> Array:
    """For each thread, the bits of its warp's flags."""
    words = (flags.reshape(-1, WARP) * _BIT).sum(1, dtype=np.uint32)
    return np.repeat(words, WARP)


def _members_of(machine: "Machine", instruction: Instruction, active: Active) -> Array:
    """For each thread, the bits of the active lanes that its instruction names."""
    named = machine.source(str(instruction.operands[-1]), "b32")
    return _ballot(active.mask) & named  # type: ignore[no-any-return]


def _vote(machine: "Machine", instruction: Instruction) -> Callable[[Active], None]:
    mode = next(word for word in instruction.modifiers if word in ("ballot", "any", "all", "uni"))
    (target,) = _targets(machine, instruction, "b32" if mode == "ballot" else "pred")
    assert target is not None
    flag, negated = machine.guard(str(instruction.operands[1]))

    def execute(active: Active) -> None:
        lanes = _members_of(machine, instruction, active)
        votes = _ballot((flag != negated) & active.mask) & lanes
        results = {
            "ballot": votes,
            "any": votes != 0,
            "all": votes == lanes,
            "uni": (votes == lanes) | (votes == 0),
        }
        np.copyto(target, results[mode], where=active.mask)

    return execute


def _match(machine: "Machine", instruction: Instruction) -> Callable[[Active], None]:
    """Which lanes hold the same value; with ``all``, only if every lane does."""
    everyone = "all" in instruction.modifiers
    target, agree = [*_targets(machine, instruction, "b32", "pred"), None][:2]
    value = machine.source(str(instruction.operands[1]), instruction.modifiers[-1])

    def execute(active: Active) -> None:
        warps = np.broadcast_to(value, active.mask.shape).reshape(-1, WARP)
        equal = warps[:, :, None] == warps[:, None, :]
        lanes = _members_of(machine, instruction, active)
        same = (equal * _BIT).sum(2, dtype=np.uint32).reshape(-1) & lanes
        if everyone:
            np.copyto(target, np.where(same == lanes, lanes, 0), where=active.mask)  # type: ignore[arg-type]
            if agree is not None:
                np.copyto(agree, same == lanes, where=active.mask)
        elif target is not None:
            np.copyto(target, same, where=active.mask)

    return execute


def _active_mask(machine: "Machine", instruction: Instruction) -> Callable[[Active], None]:
    (target,) = _targets(machine, instruction, "b32")
    assert target is not None
    return lambda active: np.copyto(target, _ballot(active.mask), where=active.mask)


def _reduce(machine: "Machine", instruction: Instruction) -> Callable[[Active], None]:
    """``redux``: the sum, extreme or bits of an integer over the lanes of a warp."""
    functions = {
        "add": (np.add, 0),
        "and": (np.bitwise_and, -1),
        "or": (np.bitwise_or, 0),
        "xor": (np.bitwise_xor, 0),
        "min": (np.minimum, None),
        "max": (np.maximum, None),
    }
    name = next((word for word in instruction.modifiers if word in functions), None)
    kind = instruction.modifiers[-1]
    if name is None or kind[0] == "f":
        raise UnsupportedError("this reduction is not known")
    function, neutral = functions[name]
    (target,) = _targets(machine, instruction, kind)
    value = machine.source(str(instruction.operands[1]), kind)
    assert target is not None
    limits = np.iinfo(target.dtype)
    empty = {"min": limits.max, "max": limits.min}.get(name, neutral)

    def execute(active: Active) -> None:
        lanes = _members_of(machine, instruction, active).reshape(-1, WARP)
        own = (lanes[:, :, None] & _BIT) != 0
        warps = np.broadcast_to(value, active.mask.shape).reshape(-1, 1, WARP)
        filled = np.where(own, warps, np.array(empty).astype(target.dtype))
        np.copyto(target, function.reduce(filled, axis=2).reshape(-1), where=active.mask)

    return execute
