"""Ratios of effects of an instrument: Fieller and Anderson-Rubin sets, one instrument or several."""
