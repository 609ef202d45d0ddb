"""What to test next: which link, with which lever, on how many customers, and what each answer would make us do."""
