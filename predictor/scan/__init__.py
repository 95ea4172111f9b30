"""Files or bytes in, clean region signals out."""
