"""What is written down about experiments, and read back: MLflow."""
