"""Claims made beforehand: candidates that the catalog allows, and hypotheses frozen with a digest."""
