"""What runs in the student's process. It imports nothing of the library but its neighbours here."""
