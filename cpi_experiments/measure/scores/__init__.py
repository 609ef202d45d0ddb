"""Where indicators stand, and what customers and churn are worth."""
