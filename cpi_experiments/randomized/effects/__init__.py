"""What being assigned does: means, ratios, quantiles and ranks, by arm and by segment."""
