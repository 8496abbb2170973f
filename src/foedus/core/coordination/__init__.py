"""Who is asked, when, and what becomes of the answers: programs, rounds, drivers, executors, sessions."""
