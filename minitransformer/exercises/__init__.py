"""The classroom: exercises cut from the library, and a grader that names the mistake."""
