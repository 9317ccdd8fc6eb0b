"""Speed beside the peers; the tables of papers, reproduced."""
