"""What the user writes: the words of a recipe, its dotted settings, and how a recipe file is read."""
