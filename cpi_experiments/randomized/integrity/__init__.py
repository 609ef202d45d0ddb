"""Is the comparison random: checks that come before any effect."""
