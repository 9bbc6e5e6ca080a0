"""The measures: the matrix, importance, candidates."""
