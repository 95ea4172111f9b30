"""A thin shell: HTTP in, predictor call, HTTP out. Research use only."""
