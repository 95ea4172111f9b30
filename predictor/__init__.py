"""One visit of one person: scan -> features -> prediction -> explanation. Research use only."""
