"""What people are told: the review of a quarter as pure data, and its renderers."""
