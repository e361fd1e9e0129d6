"""Pages that belong to no domain, and what all pages are made of."""
