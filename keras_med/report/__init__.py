"""A run folder's files to one page, its figures and a model card; nothing here computes a result of its own."""
