"""Cohort -> feature table -> cross-validated models -> bundle. Research use only."""
