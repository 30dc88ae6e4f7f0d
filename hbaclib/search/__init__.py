"""A search over recipe keys, and what its best score is worth."""
