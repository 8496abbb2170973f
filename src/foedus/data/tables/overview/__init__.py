"""A first look at a table: what its columns hold, what each is taken for and why, and what has to be asked."""
