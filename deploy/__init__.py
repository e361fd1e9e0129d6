"""What runs beside the platform: the hubs of the centers, and how machines are set up."""
