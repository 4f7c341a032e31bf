"""Fusion methods: how the rankings of several legs become one. A new one is one file and one line here."""

from services.search.fusion.base import Candidates, Fusion, Leg, Param
from services.search.fusion.convex import Convex
from services.search.fusion.registry import fusion_named, known, register
from services.search.fusion.rrf import ReciprocalRank

register(Convex())
register(ReciprocalRank())

__all__ = ["Candidates", "Fusion", "Leg", "Param", "fusion_named", "known"]
