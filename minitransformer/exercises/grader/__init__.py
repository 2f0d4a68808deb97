"""From a student's file to a verdict: the answer runs in a process of its own."""
