"""What customers value, what the company earns, who can change what, and which links are claimed."""
