"""Power of a test that is still to come, and of the judging rule."""
