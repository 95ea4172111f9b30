"""A cohort's visits to one feature table."""
