"""An exported model is found, checked and loaded, and answers for new files."""
