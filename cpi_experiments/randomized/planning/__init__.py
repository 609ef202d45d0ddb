"""Before the trial: how large, how long, and what will be done with the answer."""
