"""Generated demonstration data in the real data sets' own formats, so that a recipe runs where the data are not."""
