"""Arrays in, matplotlib figures out: every picture of the product."""
