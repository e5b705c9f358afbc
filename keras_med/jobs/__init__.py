"""Where work runs: a job is a folder and the name of what to do with it; this room knows nothing of what that is."""
