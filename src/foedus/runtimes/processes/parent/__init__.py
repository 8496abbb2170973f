"""The parent's side of a run whose nodes are processes: it starts and watches them, talks to them, keeps the books."""
