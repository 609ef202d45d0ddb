"""Evidence over time: what may be said about one link after every experiment."""
