"""What is kept: results, keys and the audit chain, in one database."""
