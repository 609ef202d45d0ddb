"""What turns scores of links into verdicts: running p-values, published sets, shrinkage, drift, value of a test."""
