"""Sentence templates and banned words: numbers arrive as text, already rounded; this floor only chooses words."""
