"""Observers: what hardware would have counted, and the bugs that it would have hidden."""

from minitransformer.emulator.observers.banks import Passes, SharedBanks
from minitransformer.emulator.observers.barriers import BarrierDivergence
from minitransformer.emulator.observers.base import Access, Bug, BugFinder, Observer
from minitransformer.emulator.observers.divergence import Divergence
from minitransformer.emulator.observers.mix import InstructionMix
from minitransformer.emulator.observers.races import DataRaces
from minitransformer.emulator.observers.traffic import GlobalTraffic, Requests
from minitransformer.emulator.observers.uninitialised import UninitialisedReads

__all__ = [
    "Access",
    "BarrierDivergence",
    "Bug",
    "BugFinder",
    "DataRaces",
    "Divergence",
    "GlobalTraffic",
    "InstructionMix",
    "Observer",
    "Passes",
    "Requests",
    "SharedBanks",
    "UninitialisedReads",
]
