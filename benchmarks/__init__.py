"""What is measured against limits and peers; `make bench` runs all of it."""
