"""Quality of a whole cohort's scans, before anything is learned from them; outcomes are never looked at."""
