"""Fusion methods: how the rankings of several legs become one. A new one is one file and one line here."""

from services.search.fusion.base import Background, Candidates, Fusion, Leg, Param
from services.search.fusion.convex import TheoreticalMinMax
from services.search.fusion.convex_minmax import MinMax
from services.search.fusion.convex_zscore import ZScore
from services.search.fusion.registry import fusion_named, known, register
from services.search.fusion.rrf import ReciprocalRank
from services.search.fusion.surprisal import Surprisal
from services.search.fusion.weighted_rrf import WeightedReciprocalRank

register(Surprisal())
register(TheoreticalMinMax())
register(MinMax())
register(ZScore())
register(ReciprocalRank())
register(WeightedReciprocalRank())

__all__ = ["Background", "Candidates", "Fusion", "Leg", "Param", "fusion_named", "known"]
