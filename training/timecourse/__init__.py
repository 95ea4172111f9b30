"""Connectivity while a drug is infused: windows, arms, dissociation. An analysis, no predictor."""
